import torch

from fairhands.mannequin_world.denoiser import add_noise, new_denoiser, predict, sample
from fairhands.mannequin_world.prompts import HAND, encode


def test_an_untrained_denoiser_predicts_nothing() -> None:
    torch.manual_seed(0)
    noised, prompts = torch.randn(2, 16, 16, 16), encode(HAND).expand(2, -1)
    prediction = predict(new_denoiser(), noised, torch.tensor([0.2, 0.9]), prompts)
    assert prediction.shape == noised.shape
    assert not prediction.any()


def test_noise_levels_lead_from_the_latent_to_the_noise() -> None:
    latents, noise = torch.randn(3, 16, 2, 2), torch.randn(3, 16, 2, 2)
    noised = add_noise(latents, noise, torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(noised[0], latents[0])
    assert torch.allclose(noised[1], 0.75 * latents[1] + 0.25 * noise[1])
    assert torch.equal(noised[2], noise[2])


def test_sampling_with_the_true_direction_gives_the_clean_latent(monkeypatch) -> None:
    """With one clean latent in the world, noise - latent is (x - latent) / t."""
    clean = torch.randn(1, 16, 4, 4)

    def true_direction(_denoiser, noised, levels, _prompts):
        return (noised - clean) / levels[:, None, None, None]

    monkeypatch.setattr("fairhands.mannequin_world.denoiser.predict", true_direction)
    prompts = encode(HAND)[None]
    found = sample(None, torch.randn(1, 16, 4, 4), prompts, steps=7)
    assert torch.allclose(found, clean, atol=1e-5)
    guided = sample(None, torch.randn(1, 16, 4, 4), prompts, torch.zeros_like(prompts), guidance=3.0, steps=7)
    assert torch.allclose(guided, clean, atol=1e-5)
