"""Data sets: found on disk, fetched once, or made; checked, split, identified by their digests."""
