"""What `dev.py` is made of: set-up of the environment, of ComfyUI and of the model files, and the demo."""
