"""What every trainer shares: its configuration, whole files, seeds and progress."""
