"""Load MPD LoRA: what it loads, against what the trainer predicts."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import safetensors.torch
import torch
from comfy_graphs import GraphBuilder
from diffusers import AutoencoderKL
from mpd_lora_graphs import Save, load_lora, loras, save_lora, shown
from test_adapter_files import MANNEQUIN, estimates, mannequin_parts, predicted, prediction, relative
from test_lora_branch import kohya
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from devtools.client import Run
from devtools.paths import CHECKPOINT
from devtools.server import ComfyServer
from fairhands.adapters.lora import LoraAdapter
from fairhands.adapters.settings import LoraSettings
from fairhands.base_models import Text, load
from fairhands.base_models.shapes import SD15, SDXL, Shapes
from fairhands.base_models.single_file import empty_networks
from fairhands.base_models.stable_diffusion import Networks, StableDiffusion, StableDiffusionXL
from fairhands.base_models.tokens import clip_tokenizer
from tests.adapters.bases import adapted, hollow, moved
from tests.base_models.checkpoints import VAE, unet_names, write_full_size

# What ComfyUI tells the families by stays as it is; all levels are as wide as the first.
NARROW = {"block_out_channels": (320, 320, 320)}
NARROW_SD15 = {
    "block_out_channels": (320, 320),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
SMALL = {
    "SD 1.5": replace(SD15, unet=SD15.unet | NARROW_SD15),
    "SDXL": replace(SDXL, unet=SDXL.unet | NARROW | {"attention_head_dim": (5, 5, 5)}),
}


@pytest.fixture
def save(server: ComfyServer) -> Save:
    """Write an adapter's file as a trainer does; its name."""
    return partial(save_lora, server.base)


def same(run: Run, node: str) -> bool:
    return run.outputs[node]["text"] == ["True"]


def check_same_change(graph: GraphBuilder, names: tuple[str, str], adapter: LoraAdapter, predict: Any) -> None:
    """What ComfyUI predicts with the file is what the trainer predicts, and so is the change."""
    with torch.no_grad(), adapter.scaled(0):
        plain = predict()
    with torch.no_grad():
        expected = predict()
    assert relative(expected, plain) > 0.01
    assert relative(graph.saved(names[0]), plain) < 1e-3
    assert relative(graph.saved(names[1]), expected) < 1e-3
    assert relative(graph.saved(names[1]) - graph.saved(names[0]), expected - plain) < 0.01


def test_it_predicts_what_the_trainers_adapter_does_and_strength_0_leaves_the_model(
    graph: GraphBuilder, server: ComfyServer, save: Save
) -> None:
    logged = len(server.log())
    adapter = moved(adapted(load(MANNEQUIN), rank=3, alpha=2.0, layers="all"), 1.0)
    name = save(adapter)
    parts = mannequin_parts(graph)
    loaded, half, off = (load_lora(graph, parts["model"], name, strength_model=by) for by in (1.0, -0.5, 0.0))
    found = [estimates(graph, parts, [node, 0])[0] for node in (loaded, half)]
    kept = graph.add("PreviewAny", source=[graph.add("ProbeSame", one=[off, 0], other=parts["model"]), 0])
    run = graph.run()
    assert relative(prediction(graph.saved(found[0])), predicted(adapter, 1)) < 1e-3
    assert relative(prediction(graph.saved(found[1])), predicted(adapter, -0.5)) < 1e-3
    assert relative(predicted(adapter, 0), predicted(adapter, 1)) > 0.01
    assert same(run, kept)
    assert "lora key not loaded" not in server.log()[logged:]


def small(family: str) -> StableDiffusion:
    """A base of the family's names and depth, reduced in width, with random weights that half precision holds."""
    shapes: Shapes = SMALL[family]
    torch.manual_seed(4)
    unet = empty_networks(shapes)[0].to_empty(device="cpu")
    for name, weight in unet.named_parameters():
        spread = 1.7 * weight[0].numel() ** -0.5 if weight.dim() > 1 else 0.1
        weight.data.uniform_(-spread, spread).add_(float(weight.dim() == 1 and name.endswith("weight")))
    kind = StableDiffusionXL if family == "SDXL" else StableDiffusion
    networks = Networks(unet.half().float(), AutoencoderKL(**VAE), (), clip_tokenizer(), shapes.process(None))
    return kind(networks, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(("family", "rank"), [("SD 1.5", 4), ("SDXL", 8)])
def test_a_u_net_with_it_predicts_what_the_trainer_does(
    graph: GraphBuilder, server: ComfyServer, save: Save, family: str, rank: int
) -> None:
    base = small(family)
    folder = server.base / "models" / "diffusion_models"
    folder.mkdir(exist_ok=True)
    weights = {name: weight.half() for name, weight in unet_names(base.denoiser.state_dict()).items()}
    safetensors.torch.save_file(weights, folder / f"small_{family}.safetensors")
    adapter = adapted(base, rank=rank, alpha=rank)
    name = save(adapter)

    width = base.denoiser.config["cross_attention_dim"]  # pyright: ignore
    model = [graph.add("UNETLoader", unet_name=f"small_{family}.safetensors", weight_dtype="default"), 0]
    prompts = [[graph.add("ProbeConditioning", seed=seed, width=width), 0] for seed in (1, 2)]
    latent = [graph.add("EmptyLatentImage", width=128, height=128, batch_size=1), 0]
    node = load_lora(graph, model, name)
    time = 400
    sigma = float(((1 - base.process.kept[time]) / base.process.kept[time]).sqrt())
    parts = {"positive": prompts[0], "negative": prompts[1], "latent": latent, "sigma": sigma, "unload": False}
    cleans = [graph.save([graph.add("ProbePredict", model=one, **parts), 0]) for one in (model, [node, 0])]
    lines = shown(graph, node)

    assert lines[0] == f"base: {family} (mine.safetensors)"
    assert lines[1] == f"rank: {rank}, alpha {rank}, attention layers"
    assert lines[-1] == f"used: {len(list(adapter.children()))} layers of the model"
    noise = torch.randn(1, 4, 16, 16, generator=torch.manual_seed(1)).repeat(2, 1, 1, 1)
    text = Text.joined([given_text(seed, width, family) for seed in (1, 2)])

    def predict() -> Tensor:
        """The clean estimate, as ComfyUI tells it."""
        noised = noise * sigma / (sigma**2 + 1) ** 0.5
        return noise * sigma - sigma * base.predict(noised, torch.full((2,), time / 1000), text)

    check_same_change(graph, (cleans[0], cleans[1]), adapter, predict)


def given_text(seed: int, width: int, family: str) -> Text:
    """What ProbeConditioning gives."""
    generator = torch.Generator().manual_seed(seed)
    states, pooled = torch.randn(1, 77, width, generator=generator), torch.randn(1, 1280, generator=generator)
    return Text(states, pooled, torch.tensor([[1024.0, 1024, 0, 0, 1024, 1024]])) if family == "SDXL" else Text(states)


def test_the_text_encoders_part_encodes_what_the_trainers_does_and_needs_clip(
    graph: GraphBuilder, server: ComfyServer, save: Save
) -> None:
    prefix = "cond_stage_model.transformer.text_model."
    weights = safetensors.torch.load_file(CHECKPOINT)
    encoder = CLIPTextModel(CLIPTextConfig.from_dict(SD15.text_encoders[0]))
    own = {prefix + name.removeprefix("text_model."): name for name in encoder.state_dict()}
    encoder.load_state_dict({own[name]: weights[name] for name in own})
    base = small("SD 1.5")
    base.text_encoders = (encoder.eval(),)
    adapter = moved(LoraAdapter(base, LoraSettings(rank=4, alpha=4.0), text_encoders=True), 1.0)
    in_encoder = [name for name in adapter.state_dict() if name.startswith("lora_te")]
    name = save(adapter)
    # The file's part for the U-Net is for another one than the stand-in's.
    file = loras(server.base) / name
    safetensors.torch.save_file(
        {key: value for key, value in safetensors.torch.load_file(file).items() if key.startswith("lora_te")}
        | kohya("lora_unet_middle_block_1_proj_in", 3, 320, 320, 1, 1),
        file,
        safetensors.safe_open(file, "pt").metadata(),
    )
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT.name)
    clip = [checkpoint, 1]
    nodes = [
        load_lora(graph, [checkpoint, 0], name, clip=clip),
        load_lora(graph, [checkpoint, 0], name, clip=clip, strength_clip=0.0),
    ]
    texts = [
        graph.save([graph.add("CLIPTextEncode", clip=some, text="a hand"), 0])
        for some in (clip, *([node, 1] for node in nodes))
    ]
    kept = graph.add("PreviewAny", source=[graph.add("ProbeSame", one=[nodes[1], 1], other=clip), 0])
    without = load_lora(graph, [checkpoint, 0], name)
    report = graph.add("PreviewAny", source=[without, 2])
    run = graph.run()

    assert same(run, kept)
    check_same_change(graph, (texts[0], texts[1]), adapter, lambda: base.encode_text(["a hand"]).states)
    layers = len(in_encoder) // 2
    assert (
        run.outputs[nodes[0]]["text"][0].splitlines()[-1]
        == f"used: 1 layers of the model, {layers} of the text encoders"
    )
    assert "text encoders too" in run.outputs[report]["text"][0]
    assert run.outputs[report]["text"][0].splitlines()[-2:] == [
        "used: 1 layers of the model",
        f"not used: {layers} layers of the text encoders; connect clip to use them",
    ]


def test_every_layer_of_a_full_sized_sdxl_lora_of_rank_64_is_used(
    graph: GraphBuilder, server: ComfyServer, save: Save
) -> None:
    folder = server.base / "models" / "checkpoints"
    folder.mkdir(exist_ok=True)
    logged = len(server.log())
    write_full_size(folder / "full_mpd.safetensors", SDXL)
    adapter = LoraAdapter(hollow(SDXL), LoraSettings(rank=64, alpha=64.0), text_encoders=True).to_empty(device="cpu")
    for weight in adapter.parameters():
        torch.nn.init.constant_(weight, 0.01)
    counts = [sum(name.startswith(part) for name, _ in adapter.named_children()) for part in ("lora_unet", "lora_te")]
    full = graph.add("ProbeFullSize", ckpt_name="full_mpd.safetensors")
    node = load_lora(graph, [full, 0], save(adapter), clip=[full, 1])
    assert shown(graph, node) == [
        "base: SDXL (mine.safetensors)",
        "rank: 64, alpha 64, attention layers, text encoders too",
        "objectives: global, face, hand, weighed by mpd",
        "trained: 20000 steps, seed 3, by trainers.mpd_lora",
        f"used: {counts[0]} layers of the model, {counts[1]} of the text encoders",
    ]
    assert "lora key not loaded" not in server.log()[logged:]
