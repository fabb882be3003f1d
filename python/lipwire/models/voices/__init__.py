"""Voices of this machine: the engines, their names, which there are, and which one speaks."""
