"""Checks that training and sampling compute what they say, on this machine."""
