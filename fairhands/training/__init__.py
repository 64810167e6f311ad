"""What every trainer shares: its configuration."""
