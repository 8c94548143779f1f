"""What the comparisons of this section are made of: their networks, results and figures."""
