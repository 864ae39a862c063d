"""Whether two answers are equal as mathematics."""
