"""Hand Mask While Sampling: how hands are found and how their mask grows, seen in the trace and its mask."""

from typing import Any

import pytest
import torch
from architectures import Patch, Traced, empty_latent, hand_mask, in_order, model_parts, sample, visual_guidance
from comfy_graphs import GraphBuilder, Link, told
from PIL import Image

from devtools.client import GraphFailed, GraphRefused
from devtools.paths import CHECKPOINT
from devtools.server import ComfyServer
from fairhands.data import mannequin

CRITIC = "studio_critic.safetensors"
# A hand that is found in the noisy and pale estimates of every family.
HAND_SEED = 12
SIDE = 256
ALWAYS = {"first_timestep": 1000.0, "last_timestep": 0.0}
# With strength 0 hands are looked for, and the latent stays.
LOOKING = visual_guidance(CRITIC, w=0.0, **ALWAYS)


@pytest.fixture(scope="module")
def hand(server: ComfyServer) -> str:
    """A picture with one hand, in the server's input folder; 256 px."""
    Image.fromarray(mannequin.draw(HAND_SEED, SIDE, kind="right").picture).save(
        server.base / "input" / "followed_hand.png"
    )
    return "followed_hand.png"


def follow(graph: GraphBuilder, picture: str, *patches: Patch, **changes: Any) -> Traced:
    """A run that starts at a picture and stays near it."""
    return Traced(graph, "sd15", in_order(*patches), pictures=(picture,), **({"denoise": 0.3, "steps": 1} | changes))


def followed(graph: GraphBuilder, runs: list[Traced]) -> tuple[list[torch.Tensor], list[list[dict[str, Any]]]]:
    """The runs' masks `[H, W]`, and their image's records at each step."""
    run = graph.run()
    masks = [graph.saved(one.mask)[0] for one in runs]
    return masks, [[step["images"][0] for step in told(run, one.trace)["steps"]] for one in runs]


def quarter(graph: GraphBuilder) -> Link:
    """A start mask: the upper left."""
    return graph.mask(SIDE, 0, 0, 128, 128)


def test_shape_padding_feather_and_largest_shape_the_mask(graph: GraphBuilder, hand: str) -> None:
    settings: list[dict[str, Any]] = [
        {"padding": 0.0},
        {"padding": 0.0, "shape": "shape"},
        {"padding": 0.0, "shape": "box"},
        {"padding": 0.4},
        {"padding": 0.0, "feather": 16},
        {"largest": 0.01},
    ]
    runs = [follow(graph, hand, hand_mask(**some), LOOKING) for some in settings]
    (hull, shape, box, padded, feathered, none), records = followed(graph, [*runs])
    assert all(record["hands"] for some in records for record in some)
    assert 0.02 < shape.mean() < hull.mean() < box.mean() < 0.9
    assert (padded >= hull).all()
    assert padded.mean() > 1.1 * hull.mean()
    assert not ((hull > 0) & (hull < 1)).any()
    assert ((feathered > 0.1) & (feathered < 0.9)).any()
    assert none.sum() == 0
    assert all(record["left_out"] == 1 for record in records[-1])


def test_the_mask_nodes_detector_is_used_and_what_it_is_not_told_stays_usual(graph: GraphBuilder, hand: str) -> None:
    runs = [
        follow(graph, hand, *patches)
        for patches in (
            (LOOKING,),
            (hand_mask(), LOOKING),
            (hand_mask(detection_threshold=1.0), LOOKING),
        )
    ]
    (usual, same, none), records = followed(graph, runs)
    assert torch.equal(same, usual)
    assert none.sum() == 0
    assert not any(record["hands"] for record in records[2])


def test_look_every_2_looks_at_each_second_step_and_keeps_the_mask(graph: GraphBuilder, hand: str) -> None:
    (mask,), (records,) = followed(graph, [follow(graph, hand, hand_mask(look_every=2), LOOKING, steps=4)])
    assert [bool(record["hands"]) for record in records] == [True, False, True, False]
    assert mask.any()
    assert all(record["mask_area"] > 0 for record in records)


def test_remember_lets_the_mask_shrink_back(graph: GraphBuilder, hand: str) -> None:
    runs = [
        follow(graph, hand, hand_mask(shape="shape", padding=0.0, remember=remember), LOOKING, steps=4, denoise=0.5)
        for remember in (0, 1)
    ]
    (growing, last), (grown, remembered) = followed(graph, runs)
    areas = [record["mask_area"] for record in grown]
    assert areas == sorted(areas)
    assert (last <= growing).all()
    assert 0 < last.mean() < growing.mean()
    assert [record["mask_area"] for record in remembered] != sorted(record["mask_area"] for record in remembered)


@pytest.mark.parametrize("behind", [False, True])
def test_a_start_mask_named_as_a_fallback_is_kept_back_until_nothing_is_found(
    graph: GraphBuilder, hand: str, empty_picture: str, behind: bool
) -> None:
    start = {"start_mask": quarter(graph)}

    def both(mask: Patch) -> Patch:
        return in_order(LOOKING, mask) if behind else in_order(mask, LOOKING)

    runs = [
        follow(graph, picture, both(hand_mask(fallbacks=fallbacks, **start)))
        for picture, fallbacks in (
            (hand, "closer look, start mask"),
            (empty_picture, "closer look, start mask"),
            (hand, ""),
            (empty_picture, ""),
        )
    ]
    (with_hand, without_hand, joined, given), records = followed(graph, runs)
    assert given.sum() == 128 * 128
    assert torch.equal(without_hand, given)
    assert torch.equal(joined, torch.maximum(with_hand, given))
    assert with_hand.any()
    assert not torch.equal(with_hand, joined)
    assert [record["fallback"] for record in records[0]] == [""]
    assert [record["fallback"] for record in records[1]] == ["start mask"]


def test_a_closer_look_finds_hands_below_the_threshold(graph: GraphBuilder, hand: str) -> None:
    runs = [
        follow(graph, hand, hand_mask(detection_threshold=1.0, fallbacks=fallbacks), LOOKING)
        for fallbacks in ("closer look", "")
    ]
    (closer, plain), records = followed(graph, runs)
    assert plain.sum() == 0
    assert 0.02 < closer.mean() < 0.9
    assert records[0][0]["fallback"] == "closer look"


def attention(graph: GraphBuilder, **changes: Any) -> tuple[dict[str, Link], Patch]:
    """The stand-in checkpoint, whose U-Net has layers of the sizes that are read, and the mask node with its CLIP."""
    parts = graph.checkpoint()
    return parts, hand_mask(fallbacks="closer look, attention", clip=[parts["model"][0], 1], **changes)


def test_attention_to_hand_words_gives_a_mask_where_nothing_is_found(graph: GraphBuilder) -> None:
    parts, mask = attention(graph)
    latent = empty_latent(graph, "sd15")
    found = []
    for patch in (in_order(mask, LOOKING), in_order(mask, visual_guidance(CRITIC, mode="exact", **ALWAYS)), in_order()):
        patched = patch(graph, parts)
        out = graph.sample(patched, latent, steps=2, denoise=1.0)
        found.append((graph.save(out), *(graph.plot(patched["trace"], out) if "trace" in patched else ())))
    run = graph.run()
    (off, trace, mask_of_words), (guided, *_), (plain,) = found
    records = told(run, trace)["steps"]
    assert [[image["fallback"] for image in step["images"]] for step in records] == [["attention"] * 2, [""] * 2]
    masks = graph.saved(mask_of_words)
    assert masks.shape == (2, 128, 128)
    assert all(0 < mask.mean() <= 0.3 for mask in masks)
    assert torch.equal(graph.saved(off), graph.saved(plain))
    assert not torch.equal(graph.saved(guided), graph.saved(plain))


def test_a_run_that_is_refused_leaves_no_hooks_behind(graph: GraphBuilder) -> None:
    def hooks(guidance: Patch | None = None) -> int:
        graph.prompt.clear()
        # With its model in the graph, ComfyUI keeps it.
        parts, mask = attention(graph)
        latent = empty_latent(graph, "sd15", batch=1)
        graph.save(graph.sample(parts, latent, steps=1, denoise=1.0))
        node = graph.add("PreviewAny", source=[graph.add("ProbeMemory"), 0])
        if guidance is not None:
            graph.save(graph.sample(in_order(mask, guidance)(graph, parts), latent, steps=1, denoise=1.0))
        return told(graph.run(), node)["hooks"]

    before = hooks()
    with pytest.raises(GraphFailed, match="exchange them"):
        hooks(visual_guidance(CRITIC, first_timestep=1.0, last_timestep=2.0))
    assert hooks() == before


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_attention_is_refused_for_models_without_cross_attention(graph: GraphBuilder, family: str) -> None:
    clip = [graph.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT.name), 1]
    sample(graph, family, hand_mask(fallbacks="attention", clip=clip))
    with pytest.raises(GraphFailed, match="model has no cross-attention from picture to words"):
        graph.run()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("attention", "fallbacks name attention, but clip is not connected: connect the model's clip"),
        ("start mask", "fallbacks name the start mask, but start_mask is not connected: connect it"),
    ],
)
def test_a_fallback_without_what_it_needs_is_refused(graph: GraphBuilder, name: str, sentence: str) -> None:
    sample(graph, "sd15", hand_mask(fallbacks=name))
    with pytest.raises(GraphFailed, match=sentence):
        graph.run()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fallbacks": "closer look, luck"}, "fallbacks: expected some of .*, found 'luck'"),
        ({"shape": "circle"}, "shape is 'circle'"),
        ({"decoder": "small"}, "decoder is 'small'"),
    ],
)
def test_names_that_do_not_exist_are_refused_before_anything_runs(
    graph: GraphBuilder, changes: dict[str, str], sentence: str
) -> None:
    sample(graph, "sd15", hand_mask(**changes))
    with pytest.raises(GraphRefused, match=sentence):
        graph.run()


def test_without_a_guidance_node_the_latent_is_the_plain_one(graph: GraphBuilder, hand: str) -> None:
    names = [sample(graph, "sd15", patch, pictures=(hand,), denoise=0.5) for patch in (hand_mask(), in_order())]
    graph.run()
    assert torch.equal(graph.saved(names[0]), graph.saved(names[1]))


def test_the_plot_shows_the_run_that_its_latent_comes_from(graph: GraphBuilder, hand: str) -> None:
    """Another seed runs the sampler alone again, and the plot after it."""
    traces = []
    for seed in (1, 2):
        graph.prompt.clear()
        one = follow(graph, hand, LOOKING, steps=2, seed=seed)
        run = graph.run()
        traces.append([step["images"] for step in told(run, one.trace)["steps"]])
        assert graph.saved(one.mask).shape == (1, SIDE, SIDE)
    assert len(traces[0]) == len(traces[1]) == 2
    assert traces[0] != traces[1]


def test_the_plot_of_a_trace_without_a_run_is_empty(graph: GraphBuilder) -> None:
    # A strength that no other test has: ComfyUI keeps what nodes gave, and with it the trace of a run.
    patched = visual_guidance(CRITIC, w=0.123)(graph, model_parts(graph, "sd15"))
    plot = graph.add("FairHandsGuidanceTracePlot", trace=patched["trace"], width=600, height=400)
    names = [graph.save([plot, output]) for output in (0, 2)]
    graph.run()
    picture, mask = (graph.saved(name) for name in names)
    assert picture.shape == (1, 400, 600, 3)
    assert mask.sum() == 0
