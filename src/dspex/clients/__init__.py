"""What completes messages: the models, and what is wrapped around them."""
