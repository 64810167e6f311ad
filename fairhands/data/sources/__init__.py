"""Readers of the datasets that hands and people are taken from."""
