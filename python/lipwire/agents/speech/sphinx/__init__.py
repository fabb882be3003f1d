"""The offline recognizer, in processes of its own."""
