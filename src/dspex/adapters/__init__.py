"""How a signature becomes messages, and how an answer becomes values."""
