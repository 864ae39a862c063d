"""Child processes: their start, their messages, their end."""
