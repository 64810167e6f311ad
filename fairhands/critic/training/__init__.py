"""How a hand discriminator is trained and measured; nothing of it is needed to guide."""
