"""The mannequin model: a small latent diffusion model of drawn hands, in layouts that ComfyUI and diffusers hold."""
