"""How good a program is: data, metrics, the evaluator and its statistics."""
