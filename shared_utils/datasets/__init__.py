"""Data sets: found on disk, fetched once, or made; checked, split, and told by their digests."""
