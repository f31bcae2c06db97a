"""Reports on a search: what they say, and the forms in which they say it."""
