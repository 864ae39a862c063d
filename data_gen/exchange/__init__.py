"""Data from and to other formats: imported rollouts, TRL's data sets, the hub."""
