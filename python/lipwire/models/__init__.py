"""Models of speech: which there are, where they come from, and the process that they run in."""
