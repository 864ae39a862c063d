"""Finished artefacts of one or several runs, collected as one value."""
