"""What the project promises about speed, measured: `python3 dev.py bench [--out FILE.json]`."""
