"""Rooms of browsers over WebRTC, without an account."""
