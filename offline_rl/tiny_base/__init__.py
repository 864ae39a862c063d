"""The embedded base model, small enough to ship, and the recipe that rebuilds it."""

from pathlib import Path

TINY_BASE = Path(__file__).parent / "weights"
