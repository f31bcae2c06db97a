"""Models of the scores: what a search believes about what it has not asked yet."""
