"""What the sections of a join body mean for an agent."""
