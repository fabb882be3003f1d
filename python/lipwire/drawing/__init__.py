"""What stands in an avatar's place and draws a session's pictures."""
