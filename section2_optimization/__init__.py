"""Section 2: modular layers, update rules and gradient checking from scratch in NumPy."""
