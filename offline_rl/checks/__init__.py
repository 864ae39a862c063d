"""What `offline-rl doctor` tries on a machine, each check a function of a patient."""
