"""Schedules: where the next evaluations go."""
