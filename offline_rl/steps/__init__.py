"""The steps of a run, one file each, in the order of `offline_rl.experiment.run`."""
