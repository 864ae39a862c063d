"""Offline RL methods trained on the same rollouts and compared side by side."""
