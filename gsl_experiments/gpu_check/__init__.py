"""Checks and timings of what needs a GPU: gradients, mixed precision, compiled networks, short trainings."""
