"""Run folders: what a run was told, what it measured and learned; stopped, and resumed."""
