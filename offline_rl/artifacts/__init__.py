"""What lies on disk: stages, atomic writes, checksums, locks, provenance."""
