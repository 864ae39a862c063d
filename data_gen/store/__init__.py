"""Rollouts on disk: schema, Parquet files, shards, untrusted files."""
