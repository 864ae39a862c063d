"""Finished stages and runs in an object store."""
