"""Strategies: what to propose, where to spend the next evaluation, and when to stop."""
