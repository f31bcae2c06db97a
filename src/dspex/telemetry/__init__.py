"""What happened: usage, progress and events."""
