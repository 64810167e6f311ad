"""Find hands and faces, draw masks of them, crop to them."""
