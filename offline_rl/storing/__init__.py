"""A run's finished stages and its report in an object store."""
