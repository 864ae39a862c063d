"""Offline RL losses as pure functions: tensors in, an unreduced tensor out."""
