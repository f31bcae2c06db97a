"""A benchmark of optimizers: simulated models with known optima behind HTTP, peers and ours on the same budget."""
