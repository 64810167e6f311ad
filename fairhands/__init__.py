"""The methods of FairHands in plain PyTorch and NumPy: no ComfyUI, no command line."""
