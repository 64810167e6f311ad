"""Data to learn from and to measure on: the procedural hands, dataset readers and captions."""
