"""The database of the backend: its schema, its files, its connections."""
