"""Agents over REST: bodies and client."""
