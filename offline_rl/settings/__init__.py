"""The sections of an experiment file."""
