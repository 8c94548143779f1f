"""Section 1: a multilayer perceptron from scratch in NumPy."""
