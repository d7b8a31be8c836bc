"""Figures of runs: cases, distributions, curves, schedules, weights, surfaces and ranks."""
