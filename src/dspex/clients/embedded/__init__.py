"""The embedded model: an offline in-context learner without weights."""
