"""Low-rank adapters on a base model, and the files that other programs read."""
