"""The `lipwire` command."""
