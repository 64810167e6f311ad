"""Guidance while sampling, after MGHanD (arXiv 2503.08133): inside a mask of the hands, and nowhere else."""
