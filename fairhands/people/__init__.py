"""Pictures of people as a training sees them: latents, captions, the regions that count by themselves, conditioning."""
