"""What the project promises about speed, measured: `python3 dev.py bench [--only GROUP ...] [--out FILE.json]`."""

GROUPS = ("detection", "critic", "hand_lora", "fairness", "mpd_training", "standin", "sampling")
