"""Motion: what a face does, as numbers, for who draws it elsewhere. Files of it are read and written here."""
