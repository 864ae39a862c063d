"""Rollouts in, numbers with their uncertainty out."""
