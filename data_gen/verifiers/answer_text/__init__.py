"""What the final answer of a completion is, as text."""
