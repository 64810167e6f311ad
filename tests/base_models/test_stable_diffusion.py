"""SD 1.5 and SDXL do what diffusers' pipelines do, on tiny random models."""

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import CLIPTokenizer

from fairhands.base_models import load
from fairhands.base_models.stable_diffusion import StableDiffusion, StableDiffusionXL
from tests.base_models.checkpoints import write_folder

PROMPTS = ["a hand with five fingers", "two hands"]
NEGATIVE = "poorly drawn hands"


@pytest.fixture(scope="module", params=[("SD 1.5", "epsilon"), ("SD 1.5", "v_prediction"), ("SDXL", "epsilon")])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family, prediction = request.param
    return write_folder(tmp_path_factory.mktemp("model") / "tiny", family == "SDXL", prediction)


@pytest.fixture(scope="module")
def base(folder: Path) -> StableDiffusion:
    found = load(folder)
    assert isinstance(found, StableDiffusion)
    return found


@pytest.fixture(scope="module")
def pipeline(base: StableDiffusion, folder: Path):
    """diffusers' own pipeline of the same networks."""
    base.tokenizer.save_pretrained(folder.parent / "words")
    first, second = (CLIPTokenizer.from_pretrained(folder.parent / "words", model_max_length=77) for _ in range(2))
    second.pad_token = "!"
    scheduler = DDIMScheduler.from_pretrained(
        folder, subfolder="scheduler", timestep_spacing="trailing", clip_sample=False, steps_offset=1
    )
    networks = {"vae": base.vae, "unet": base.denoiser, "text_encoder": base.text_encoders[0]}
    if isinstance(base, StableDiffusionXL):
        encoder = base.text_encoders[1]
        return StableDiffusionXLPipeline(
            **networks, scheduler=scheduler, tokenizer=first, text_encoder_2=encoder, tokenizer_2=second,
            force_zeros_for_empty_prompt=False, add_watermarker=False,
        )  # fmt: skip
    return StableDiffusionPipeline(
        **networks, scheduler=scheduler, tokenizer=first, safety_checker=None, feature_extractor=None
    )


def test_sampling_is_that_of_diffusers_ddim(base: StableDiffusion, pipeline) -> None:
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    text, negative = base.encode_text(PROMPTS, (64, 64)), base.encode_text([NEGATIVE], (64, 64))
    found = base.sample(text, negative, noise, steps=4, guidance=5.0)
    pipeline.set_progress_bar_config(disable=True)
    given = {"prompt": PROMPTS, "negative_prompt": [NEGATIVE] * 2, "latents": noise, "num_inference_steps": 4}
    shape = {"height": 64, "width": 64, "guidance_scale": 5.0, "eta": 0.0}
    wanted = pipeline(**given, **shape, output_type="latent").images
    assert torch.allclose(found, wanted, atol=1e-3 * float(wanted.abs().max()))
    pictures = pipeline(**given, **shape, output_type="pt").images
    assert torch.allclose(base.decode(found), pictures, atol=2e-3)
    # The text is part of it.
    other = base.sample(base.encode_text(PROMPTS[::-1], (64, 64)), negative, noise, steps=4, guidance=5.0)
    assert not torch.allclose(found, other, atol=1e-3 * float(wanted.abs().max()))


def test_latents_are_the_autoencoders_mean_or_drawn_from_it(base: StableDiffusion) -> None:
    pictures = torch.rand(2, 3, 32, 64)
    mean = base.encode(pictures)
    assert mean.shape == (2, base.latent_channels, 4, 8)
    expected = base.vae.encode(pictures * 2 - 1).latent_dist.mode() * 0.3
    assert torch.allclose(mean, expected)
    drawn = [base.encode(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], mean)


def test_decoded_pictures_are_pictures(base: StableDiffusion) -> None:
    pictures = base.decode(torch.randn(2, 4, 4, 8) * 20)
    assert pictures.shape == (2, 3, 32, 64)
    assert 0 <= float(pictures.min()) < float(pictures.max()) <= 1


def test_gradients_reach_what_is_noised_and_no_weight(base: StableDiffusion) -> None:
    noised = torch.randn(1, 4, 8, 8, requires_grad=True)
    times, text = torch.tensor([0.4]), base.encode_text(["hand"])
    base.clean(noised, times, base.predict(noised, times, text)).square().sum().backward()
    assert noised.grad is not None
    assert noised.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in base.denoiser.parameters())


def test_a_time_is_a_timestep_of_the_training(base: StableDiffusion) -> None:
    noised, text = torch.randn(1, 4, 8, 8), base.encode_text(["hand"])
    wanted = base.denoiser(noised, 651, text.states, added_cond_kwargs=base.conditions(text), return_dict=False)[0]
    assert torch.allclose(base.predict(noised, torch.tensor([0.651]), text), wanted, atol=1e-6)


def test_odd_sizes_are_refused_in_a_sentence(base: StableDiffusion) -> None:
    with pytest.raises(ValueError, match=f"pictures for {base.family} .* multiples of 8 pixels, found 60 x 64"):
        base.encode(torch.rand(1, 3, 64, 60))


def test_sdxl_says_for_which_size(tmp_path: Path) -> None:
    base = load(write_folder(tmp_path / "tiny", xl=True))
    text = base.encode_text(["hand"] * 2)
    assert text.sizes is not None
    assert text.sizes.tolist() == [[1024, 1024, 0, 0, 1024, 1024]] * 2
    sized = base.encode_text(["hand"], (64, 128))
    assert sized.sizes is not None
    assert sized.sizes.tolist() == [[64, 128, 0, 0, 64, 128]]
    noised, times = torch.randn(1, 4, 8, 8), torch.tensor([0.5])
    assert not torch.allclose(base.predict(noised, times, text[:1]), base.predict(noised, times, sized))
    with pytest.raises(ValueError, match="pooled"):
        base.predict(noised, times, load(write_folder(tmp_path / "other")).encode_text(["hand"]))


@pytest.mark.parametrize(("xl", "dtype", "of_vae"), [
    (False, torch.float16, torch.float16),
    (True, torch.float16, torch.float32),
    (True, torch.bfloat16, torch.bfloat16),
])  # fmt: skip
def test_half_precision_spares_sdxls_autoencoder(xl: bool, dtype: torch.dtype, of_vae, tmp_path: Path) -> None:
    base = load(write_folder(tmp_path / "tiny", xl), dtype=dtype)
    assert isinstance(base, StableDiffusion)
    assert {weight.dtype for weight in base.denoiser.parameters()} == {dtype}
    assert base.vae.dtype == of_vae
    latents = base.encode(torch.rand(1, 3, 64, 64))
    prediction = base.predict(latents, torch.tensor([0.5]), base.encode_text(["hand"]))
    assert latents.dtype == prediction.dtype == base.decode(latents).dtype == torch.float32


def test_an_autoencoder_that_overflows_goes_on_in_single_precision(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tiny")
    single, half = load(folder), load(folder, dtype=torch.float16)
    for base in (single, half):
        assert isinstance(base, StableDiffusion)
        assert base.vae.post_quant_conv is not None
        base.vae.post_quant_conv.weight.data.fill_(3e4)
    latents = torch.full((1, 4, 4, 4), 2.0)
    decoded = half.decode(latents)
    assert decoded.isfinite().all()
    assert torch.allclose(decoded, single.decode(latents), atol=0.02)
