"""The experiment file: its schema, and how it is read."""
