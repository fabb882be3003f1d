"""Child processes: one supervisor, one way to talk to them."""
