"""Data sets: found on disk, fetched once, or made; checked, split, and identified by their digests."""
