"""Agora's channels, through the vendor's SDK in a process of its own."""
