"""One trainer for all methods, and what it needs."""
