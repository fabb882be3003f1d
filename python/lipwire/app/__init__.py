"""Everything together: settings, the service, the commands behind the command line."""
