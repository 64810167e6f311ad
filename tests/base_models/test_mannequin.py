"""The mannequin model as a base model is the mannequin model."""

from pathlib import Path

import pytest
import torch

from fairhands.base_models import BaseModel, BaseModelError, Text, load
from fairhands.data.mannequin import draw
from fairhands.mannequin_world import denoiser
from fairhands.mannequin_world.prompts import encode

FILE = Path(__file__).parents[2] / "weights" / "checkpoints" / "mannequin_model.safetensors"


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return load(FILE)


def drawn(count: int) -> torch.Tensor:
    pictures = [torch.from_numpy(draw(seed, 128, studio=True).picture) for seed in range(count)]
    return torch.stack(pictures).permute(0, 3, 1, 2) / 255


def test_it_says_what_it_is(base: BaseModel) -> None:
    assert (base.family, base.resolution, base.latent_channels, base.cells) == ("mannequin", 128, 16, 8)
    assert not any(weight.requires_grad for weight in base.denoiser.parameters())
    assert not base.denoiser.training


def test_sampling_is_that_of_the_mannequin_world(base: BaseModel) -> None:
    noise = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    text, negative = base.encode_text(["right hand", "hand"]), base.encode_text([""])
    found = base.sample(text, negative, noise, steps=4, guidance=3.0)
    vectors = [torch.stack([encode(prompt) for prompt in prompts]) for prompts in (("right hand", "hand"), ("", ""))]
    wanted = denoiser.sample(base.denoiser, noise, *vectors, guidance=3.0, steps=4)
    assert torch.allclose(found, wanted, atol=1e-4)
    assert torch.equal(base.sample(text, negative, noise, steps=4, guidance=3.0), found)
    unguided = base.sample(text, None, noise, steps=4)
    assert torch.allclose(unguided, denoiser.sample(base.denoiser, noise, vectors[0], steps=4), atol=1e-4)


def test_pictures_survive_encoding_and_a_little_noise(base: BaseModel) -> None:
    pictures = drawn(2)
    latents = base.encode(pictures)
    assert latents.shape == (2, 16, 16, 16)
    assert (base.decode(latents) - pictures).abs().mean() < 0.02
    times, noise = torch.tensor([0.1, 0.3]), torch.randn_like(latents, generator=None)
    noised, text = base.noised(latents, noise, times), base.encode_text(["hand", "hand"])
    clean = base.clean(noised, times, base.predict(noised, times, text))
    assert (clean - latents).abs().mean() < 0.5 * (noised - latents).abs().mean()


def test_gradients_reach_the_noised_latents(base: BaseModel) -> None:
    noised = torch.randn(1, 16, 16, 16, requires_grad=True)
    base.predict(noised, torch.tensor([0.5]), base.encode_text(["hand"])).square().sum().backward()
    assert noised.grad is not None
    assert noised.grad.abs().sum() > 0


def test_a_trainer_can_put_a_network_of_its_own_in(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, **given: object) -> tuple[torch.Tensor]:
            return (2 * self.inner(**given)[0],)

    noised, times, text = torch.randn(1, 16, 16, 16), torch.tensor([0.5]), base.encode_text(["hand"])
    before = base.predict(noised, times, text)
    monkeypatch.setattr(base, "denoiser", Doubled(base.denoiser))
    assert torch.allclose(base.predict(noised, times, text), 2 * before)


def test_other_prompts_and_sizes_are_refused_in_a_sentence(base: BaseModel) -> None:
    with pytest.raises(ValueError, match=r"prompt: expected one of 'hand', .* found 'a foot'"):
        base.encode_text(["hand", "a foot"])
    with pytest.raises(ValueError, match="multiples of 16 pixels, found 136 x 128"):
        base.encode(torch.zeros(1, 3, 128, 136))


def test_a_damaged_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mannequin.safetensors"
    path.write_bytes(FILE.read_bytes()[:100_000])
    with pytest.raises(BaseModelError, match=r"mannequin.safetensors is cut short"):
        load(path)


def test_texts_are_joined_taken_apart_and_repeated() -> None:
    text = Text(torch.arange(6.0).reshape(3, 1, 2), torch.arange(3.0)[:, None])
    assert len(text) == 3
    again = Text.joined([text[:1], text[torch.tensor([1, 2])]])
    assert torch.equal(again.states, text.states)
    assert again.pooled is not None
    assert text.pooled is not None
    assert torch.equal(again.pooled, text.pooled)
    assert again.sizes is None
    assert torch.equal(text[1:2].repeated(4).states, text.states[1:2].expand(4, -1, -1))
    assert text.repeated(3) is text
    with pytest.raises(ValueError, match="expected 1 prompt or 4, found 3"):
        text.repeated(4)
    assert text.to("meta").states.device.type == "meta"
