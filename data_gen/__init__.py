"""Problems in, verified rollouts out."""
