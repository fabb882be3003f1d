"""Hearing and speaking: voice activity, turns, speech to text, text to speech, voice commands."""
