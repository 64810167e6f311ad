import torch

from fairhands.mannequin_world.autoencoder import DOWNSCALE, LATENT_CHANNELS, Autoencoder


def test_an_untrained_autoencoder_gives_a_mosaic_of_the_picture() -> None:
    torch.manual_seed(0)
    colours = torch.rand(2, 3, 3, 2)
    pictures = colours.repeat_interleave(DOWNSCALE, 2).repeat_interleave(DOWNSCALE, 3)
    network = Autoencoder()
    latents = network.encode(pictures)
    assert latents.shape == (2, LATENT_CHANNELS, 3, 2)
    assert (network.decode(latents) - pictures).abs().mean() < 0.05
