"""The standard steps that a pipeline is made of."""
