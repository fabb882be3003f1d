"""Recordings of sessions: written by `lipwire serve --record`, shown and played again by `lipwire replay`."""
