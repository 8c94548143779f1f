"""What the four sections share: seeding, flags, data, run folders, statistics and plotting."""
