"""A LoRA as branches beside the layers, against ComfyUI's own merged LoRA."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from comfy_graphs import GraphBuilder, Link
from torch import Tensor

from devtools.client import GraphFailed
from devtools.server import ComfyServer

MANNEQUIN = "mannequin_model.safetensors"
SIGMA = 1.5
LAYER = "lora_unet_middle_block_1_transformer_blocks_0"
ENCODER = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
UNMATCHED = "lora_unet_no_such_layer.lora_up.weight"
WIDTH = 320

Tensors = dict[str, Tensor]


@pytest.fixture(scope="session")
def loras(server: ComfyServer) -> Path:
    return server.base / "models" / "loras"


def kohya(
    name: str, rank: int, out: int, *inner: int, alpha: float | None = None, mid: tuple[int, ...] = ()
) -> Tensors:
    """A LoRA of one layer under kohya's names, of the size of the layer's own weight."""
    spare = [1] * (len(inner) - 1)
    tensors = {
        f"{name}.lora_down.weight": torch.randn(rank, *inner) / torch.tensor(inner).prod() ** 0.5,
        f"{name}.lora_up.weight": torch.randn(out, rank, *spare) / rank**0.5,
    }
    if mid:
        tensors[f"{name}.lora_mid.weight"] = torch.randn(rank, rank, *mid) / (rank * mid[0] * mid[1]) ** 0.5
    if alpha is not None:
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def low_rank() -> Tensors:
    """Linear layers and convolutions of several ranks, with alpha and without; names of ComfyUI and of diffusers."""
    return {
        **kohya(f"{LAYER}_attn1_to_q", 4, WIDTH, WIDTH, alpha=2.0),
        **kohya(f"{LAYER}_attn2_to_k", 8, WIDTH, 768, alpha=8.0),
        **kohya("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v", 4, WIDTH, WIDTH, alpha=1.0),
        **kohya("lora_unet_middle_block_1_proj_in", 3, WIDTH, WIDTH, 1, 1),
        **kohya("lora_unet_input_blocks_1_0_in_layers_2", 2, WIDTH, WIDTH, 3, 3, alpha=1.0),
        **kohya("lora_unet_input_blocks_2_0_op", 2, WIDTH, WIDTH, 3, 3),
        **kohya("lora_unet_input_blocks_3_0_emb_layers_1", 2, WIDTH, 1280),
        **kohya("lora_unet_middle_block_0_out_layers_3", 5, WIDTH, WIDTH, 1, 1, alpha=5.0, mid=(3, 3)),
    }


def dense() -> Tensors:
    """Adapters that are not of low rank: LoKr, LoHa, DoRA, a difference of a weight and one of a bias."""
    feed_forward = f"{LAYER}_ff_net_2"
    return {
        f"{LAYER}_attn1_to_k.lokr_w1": torch.randn(16, 16) / 16,
        f"{LAYER}_attn1_to_k.lokr_w2": torch.randn(20, 20) / 20,
        **{f"{LAYER}_attn1_to_v.hada_w{i}_a": torch.randn(WIDTH, 4) / 4 for i in (1, 2)},
        **{f"{LAYER}_attn1_to_v.hada_w{i}_b": torch.randn(4, WIDTH) / 4 for i in (1, 2)},
        **kohya(feed_forward, 4, WIDTH, 1280, alpha=4.0),
        f"{feed_forward}.dora_scale": torch.rand(WIDTH, 1) + 1.0,
        "lora_unet_input_blocks_4_0_op.diff": torch.randn(WIDTH, WIDTH, 3, 3) / 100,
        "lora_unet_out_2.diff_b": torch.randn(4),
    }


def slices() -> Tensors:
    """A LoRA under diffusers' names for SD3: queries and values of layers that ComfyUI holds merged."""
    name, width = "transformer.transformer_blocks.{}.attn.{}.lora_{}.weight", 192
    tensors = {}
    for block, part in ((0, "to_q"), (0, "to_v"), (1, "add_k_proj"), (2, "to_k")):
        tensors[name.format(block, part, "A")] = torch.randn(4, width) / width**0.5
        tensors[name.format(block, part, "B")] = torch.randn(width, 4) / 2
    # The modulation's halves are swapped on the way, which no low-rank slice can do.
    tensors["transformer.norm_out.linear.lora_A.weight"] = torch.randn(4, width) / width**0.5
    tensors["transformer.norm_out.linear.lora_B.weight"] = torch.randn(2 * width, 4) / 2
    return tensors


@pytest.fixture
def write(loras: Path, request: pytest.FixtureRequest) -> Callable[[Tensors], str]:
    def to_file(tensors: Tensors) -> str:
        loras.mkdir(exist_ok=True)
        name = f"{request.node.name.split('[')[0]}_{len(list(loras.iterdir()))}.safetensors"
        safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, loras / name)
        return name

    return to_file


def standin(graph: GraphBuilder) -> dict[str, Link]:
    """Model, CLIP, two prompts and an empty latent of two images."""
    parts = graph.checkpoint()
    parts["clip"] = [parts["model"][0], 1]
    parts["latent"] = [graph.add("EmptyLatentImage", width=128, height=96, batch_size=2), 0]
    return parts


def mannequin(graph: GraphBuilder) -> dict[str, Link]:
    """The same of the shipped SD3 model."""
    prompts = [[graph.add("FairHandsMannequinPrompt", prompt=text), 0] for text in ("hand", "(nothing)")]
    latent = [graph.add("EmptySD3LatentImage", width=128, height=128, batch_size=2), 0]
    model = [graph.add("CheckpointLoaderSimple", ckpt_name=MANNEQUIN), 0]
    return {"model": model, "positive": prompts[0], "negative": prompts[1], "latent": latent}


def predict(graph: GraphBuilder, parts: dict[str, Link], model: Link, **changes: Any) -> tuple[str, str, str]:
    """Names of the estimates without and with the branches, and the node that shows what was seen."""
    shared = {key: parts[key] for key in ("positive", "negative", "latent")}
    node = graph.add("ProbePredict", **({"model": model, "sigma": SIGMA, "unload": False} | shared | changes))
    return graph.save([node, 0]), graph.save([node, 1]), graph.add("PreviewAny", source=[node, 2])


def merge(graph: GraphBuilder, model: Link, name: str) -> Link:
    """ComfyUI's own LoRA at strength 1."""
    return [graph.add("LoraLoaderModelOnly", model=model, lora_name=name, strength_model=1.0), 0]


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("tensors", "parts_of", "layers", "kinds"),
    [
        (low_rank, standin, 8, {"LowRank"}),
        (dense, standin, 5, {"WeightDifference", "BiasDifference"}),
        (slices, mannequin, 4, {"LowRank", "WeightDifference"}),
    ],
)
def test_rows_with_the_branch_are_the_merged_lora_and_the_others_the_plain_model(
    graph: GraphBuilder,
    write: Callable[[Tensors], str],
    tensors: Callable[[], Tensors],
    parts_of: Callable[[GraphBuilder], dict[str, Link]],
    layers: int,
    kinds: set[str],
) -> None:
    torch.manual_seed(5)
    name = write(tensors())
    parts = parts_of(graph)
    sigma = SIGMA if parts_of is standin else 0.6
    hand = graph.add("ProbeHandLora", model=parts["model"], lora_name=name)
    text = graph.add("PreviewAny", source=[hand, 2])
    plain = predict(graph, parts, parts["model"], sigma=sigma)
    branch = predict(graph, parts, [hand, 0], sigma=sigma)
    merged = predict(graph, parts, merge(graph, parts["model"], name), sigma=sigma)
    run = graph.run()

    read = json.loads(run.outputs[text]["text"][0])
    assert read["layers"] == layers
    assert {kind for several in read["paths"].values() for kind in several} == kinds
    assert read["unmatched"] == []
    without, with_lora, expected = (graph.saved(name) for name in (branch[0], branch[1], merged[1]))
    assert torch.equal(without, graph.saved(plain[0]))
    assert relative(with_lora, expected) < 1e-4
    change = expected - graph.saved(plain[1])
    assert change.norm() > 0.02 * expected.norm()
    assert relative(with_lora - without, change) < 1e-4
    seen = json.loads(run.outputs[branch[2]]["text"][0])
    assert seen["hooks_during"] == layers
    assert seen["hooks_after"] == 0
    assert all(set(indices) == {0, 1} for indices in seen["seen_by_others"])


def test_a_plain_model_of_the_same_checkpoint_stays_undisturbed(
    graph: GraphBuilder, write: Callable[[Tensors], str]
) -> None:
    """Before, after and in between, with all models unloaded, and with the branches attached but off."""
    torch.manual_seed(6)
    name = write(low_rank())
    parts = standin(graph)
    first = graph.save(graph.sample(parts, parts["latent"], denoise=1.0))
    graph.run()
    hand = graph.add("ProbeHandLora", model=parts["model"], lora_name=name)
    guided = predict(graph, parts, [hand, 0])
    graph.run()
    runs = [
        graph.save(graph.sample(parts | {"model": model}, parts["latent"], denoise=1.0, seed=seed))
        for seed in (7, 8)
        for model in (parts["model"], [hand, 0])
    ]
    graph.run()
    unloaded = predict(graph, parts, [hand, 0], unload=True)
    plain = predict(graph, parts, parts["model"], unload=True)
    runs.append(graph.save(graph.sample(parts, parts["latent"], denoise=1.0, scheduler="simple")))
    graph.run()
    assert torch.equal(graph.saved(runs[0]), graph.saved(first))
    assert torch.equal(graph.saved(runs[1]), graph.saved(first))
    assert torch.equal(graph.saved(runs[2]), graph.saved(runs[3]))
    assert not torch.equal(graph.saved(runs[2]), graph.saved(first))
    assert torch.equal(graph.saved(unloaded[1]), graph.saved(guided[1]))
    assert torch.equal(graph.saved(plain[1]), graph.saved(guided[0]))
    assert not torch.equal(graph.saved(unloaded[1]), graph.saved(guided[0]))


def test_a_dora_of_a_model_with_a_lora_is_that_of_both_merged(
    graph: GraphBuilder, write: Callable[[Tensors], str]
) -> None:
    """Its difference depends on the weight, so it is taken on top of the patches that the model has."""
    torch.manual_seed(7)
    layer = f"{LAYER}_ff_net_2"
    first = write(kohya(layer, 4, WIDTH, 1280))
    second = write(kohya(layer, 4, WIDTH, 1280) | {f"{layer}.dora_scale": torch.rand(WIDTH, 1) + 1.0})
    parts = standin(graph)
    patched = merge(graph, parts["model"], first)
    branch = predict(graph, parts, [graph.add("ProbeHandLora", model=patched, lora_name=second), 0])
    merged = predict(graph, parts, merge(graph, patched, second))
    graph.run()
    assert relative(graph.saved(branch[1]), graph.saved(merged[1])) < 1e-4
    assert relative(graph.saved(branch[0]), graph.saved(merged[1])) > 1e-3


def test_two_loras_act_together(graph: GraphBuilder, write: Callable[[Tensors], str]) -> None:
    torch.manual_seed(12)
    parts = standin(graph)
    hands = merged = parts["model"]
    for name in (write(low_rank()), write(dense())):
        hands = [graph.add("ProbeHandLora", model=hands, lora_name=name), 0]
        merged = merge(graph, merged, name)
    branch, expected = predict(graph, parts, hands), predict(graph, parts, merged)
    graph.run()
    assert relative(graph.saved(branch[1]), graph.saved(expected[1])) < 1e-4


def test_the_text_encoders_part_is_in_the_clip(graph: GraphBuilder, write: Callable[[Tensors], str]) -> None:
    torch.manual_seed(8)
    name = write(low_rank() | kohya(ENCODER, 4, 768, 768, alpha=4.0))
    parts = standin(graph)
    hand = graph.add("ProbeHandLora", model=parts["model"], clip=parts["clip"], lora_name=name)
    text = graph.add("PreviewAny", source=[hand, 2])
    loader = graph.add(
        "LoraLoader", model=parts["model"], clip=parts["clip"], lora_name=name, strength_model=1.0, strength_clip=1.0
    )
    clips = ([hand, 1], [loader, 1], parts["clip"])
    positives = [[graph.add("CLIPTextEncode", clip=clip, text="a hand"), 0] for clip in clips]
    estimates = [predict(graph, parts | {"positive": positive}, [hand, 0])[1] for positive in positives]
    assert json.loads(graph.run().outputs[text]["text"][0])["clip"] is True
    assert torch.equal(graph.saved(estimates[0]), graph.saved(estimates[1]))
    assert not torch.equal(graph.saved(estimates[0]), graph.saved(estimates[2]))


@pytest.mark.parametrize("with_clip", [True, False])
def test_what_matches_nothing_is_named_with_the_reason(
    graph: GraphBuilder, server: ComfyServer, write: Callable[[Tensors], str], with_clip: bool
) -> None:
    torch.manual_seed(9)
    wrong = kohya(f"{LAYER}_attn2_to_k", 4, WIDTH, 999) | {f"{LAYER}_attn1_to_k.diff": torch.zeros(3, 3)}
    norm = {"lora_unet_out_0.diff": torch.ones(WIDTH)}
    encoder = {"lora_te_text_model_no_such_layer.alpha": torch.tensor(1.0)}
    linear = kohya(f"{LAYER}_attn1_to_q", 4, WIDTH, WIDTH)
    name = write({UNMATCHED: torch.zeros(4, 4), **linear, **wrong, **norm, **encoder})
    parts = standin(graph)
    clip = {"clip": parts["clip"]} if with_clip else {}
    text = graph.add("PreviewAny", source=[graph.add("ProbeHandLora", model=parts["model"], lora_name=name, **clip), 2])
    read = json.loads(graph.run().outputs[text]["text"][0])
    assert read["layers"] == 1
    assert read["ranks"] == [4]
    assert read["clip"] is False
    prefix = "diffusion_model.middle_block.1.transformer_blocks.0"
    assert sorted(read["unmatched"]) == sorted(
        [
            UNMATCHED,
            f"{prefix}.attn2.to_k.weight (down is [4, 999], the layer needs [4, 768])",
            f"{prefix}.attn1.to_k.weight (it changes nothing: it is zero, or of another model's shape)",
            "diffusion_model.out.0.weight (GroupNorm is neither linear nor a convolution)",
            *(encoder if with_clip else ()),
        ]
    )
    assert re.search(f"keys of the hand LoRA match nothing: .*{UNMATCHED}", server.log())


@pytest.mark.parametrize(
    ("tensors", "kind"),
    [
        ({UNMATCHED: torch.zeros(4, 4)}, "a LoRA of another model"),
        ({"model.diffusion_model.out.2.weight": torch.zeros(4, 4)}, "a checkpoint"),
        ({"something": torch.zeros(1)}, "no LoRA"),
    ],
)
def test_a_file_of_which_nothing_matches_is_refused_with_what_it_is(
    graph: GraphBuilder, write: Callable[[Tensors], str], tensors: Tensors, kind: str
) -> None:
    parts = standin(graph)
    hand = graph.add("ProbeHandLora", model=parts["model"], clip=parts["clip"], lora_name=write(tensors))
    graph.add("PreviewAny", source=[hand, 2])
    with pytest.raises(GraphFailed, match=rf"the file holds {kind}, expected a LoRA for this model \(BaseModel\)"):
        graph.run()
