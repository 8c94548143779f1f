"""Section 3: a convolutional network from scratch in NumPy."""
