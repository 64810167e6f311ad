"""Hand LoRA Guidance against ComfyUI's own LoRA loader, and together with other patches."""

from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from architectures import (
    SIDE,
    Parts,
    Patch,
    Traced,
    empty_latent,
    hand_mask,
    in_order,
    lora_guidance,
    model_parts,
    model_patch,
    sample,
    visual_guidance,
    with_control_net,
)
from comfy_graphs import GraphBuilder, Link, told
from test_lora_branch import ENCODER, UNMATCHED, Tensors, kohya, relative

from devtools.client import GraphFailed, GraphRefused
from devtools.paths import CHECKPOINT
from devtools.server import ComfyServer

CRITIC = "studio_critic.safetensors"
ALWAYS = {"first_timestep": 1000.0, "last_timestep": 0.0}
BLOCK = "lora_unet_middle_block_1_transformer_blocks_0"
LAYERS: dict[str, dict[str, tuple[int, ...]]] = {
    "sd15": {f"{BLOCK}_attn1_to_q": (128, 128), f"{BLOCK}_attn2_to_v": (128, 768), f"{BLOCK}_ff_net_2": (128, 512)},
    "sdxl": {f"{BLOCK}_attn1_to_q": (128, 128), f"{BLOCK}_attn2_to_v": (128, 2048), f"{BLOCK}_ff_net_2": (128, 512)},
    "sd3": {
        "lora_unet_joint_blocks_0_x_block_attn_qkv": (384, 128),
        "lora_unet_joint_blocks_1_x_block_mlp_fc2": (128, 512),
    },
    "flux": {"lora_unet_double_blocks_0_img_attn_qkv": (384, 128), "lora_unet_double_blocks_1_img_mlp_2": (128, 512)},
}
Write = Callable[[Tensors], str]


@pytest.fixture
def write(server: ComfyServer, request: pytest.FixtureRequest) -> Write:
    """Write tensors as a file of the server's loras folder; its name."""

    def to_file(tensors: Tensors) -> str:
        folder = server.base / "models" / "loras"
        folder.mkdir(exist_ok=True)
        name = f"{request.node.name.split('[')[0]}_{len(list(folder.iterdir()))}.safetensors"
        safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
        return name

    return to_file


def hand_lora(family: str = "sd15") -> Tensors:
    """A LoRA of some layers of the family's small model, strong enough to be seen."""
    torch.manual_seed(4)
    return {
        key: value for name, shape in LAYERS[family].items() for key, value in kohya(name, 4, *shape, alpha=8.0).items()
    }


def everywhere(graph: GraphBuilder) -> dict[str, Any]:
    """Guidance of all steps and of the whole picture, whatever the detector finds."""
    return ALWAYS | {"start_mask": graph.mask(8, 0, 0, 8, 8), "detection_threshold": 1.0}


def middle(graph: GraphBuilder) -> dict[str, Any]:
    return ALWAYS | {"start_mask": graph.mask(SIDE, 32, 32, 96, 96), "detection_threshold": 1.0}


def loaded(name: str) -> Patch:
    """ComfyUI's own LoRA at strength 1."""
    return model_patch("LoraLoaderModelOnly", lora_name=name, strength_model=1.0)


@pytest.mark.parametrize("family", list(LAYERS))
def test_v_1_everywhere_is_the_loaded_lora_and_v_0_the_plain_model(
    graph: GraphBuilder, write: Write, family: str
) -> None:
    name, settings = write(hand_lora(family)), everywhere(graph)
    plain = sample(graph, family)
    off = sample(graph, family, lora_guidance(name, v=0.0, **settings))
    both = Traced(graph, family, lora_guidance(name, applies_to="both", **settings))
    cond = Traced(graph, family, lora_guidance(name, applies_to="cond", **settings), cfg=1.0)
    twice = sample(graph, family, lora_guidance(name, applies_to="both", v=2.0, **settings))
    expected = [sample(graph, family, loaded(name), cfg=cfg) for cfg in (3.0, 1.0)]
    run = graph.run()
    usual, alone = (graph.saved(one) for one in expected)
    assert torch.equal(graph.saved(off), graph.saved(plain))
    assert relative(graph.saved(plain), usual) > 0.01
    assert relative(graph.saved(both.latent), usual) < 1e-4
    assert relative(graph.saved(cond.latent), alone) < 1e-4
    assert relative(graph.saved(twice), usual) > 0.01
    trace = told(run, both.trace)
    assert trace["settings"]["lora"] == name
    assert [step["lora_strength"] for step in trace["steps"]] == [1.0, 1.0]
    assert all(image["difference_rms"] > 0 for step in trace["steps"] for image in step["images"])


def test_cond_moves_by_the_prompts_own_difference(graph: GraphBuilder, write: Write) -> None:
    """With CFG it is neither that of both prompts nor multiplied with its scale."""
    name, settings = write(hand_lora()), everywhere(graph)
    shape = {"steps": 1}
    names = [
        sample(graph, "sd15", patch, cfg=cfg, **shape)
        for patch, cfg in (
            (in_order(), 3.0),
            (lora_guidance(name, **settings), 3.0),
            (in_order(), 1.0),
            (loaded(name), 1.0),
        )
    ]
    graph.run()
    plain, guided, cond, cond_with_lora = (graph.saved(one) for one in names)
    assert relative(guided - plain, cond_with_lora - cond) < 1e-3


def test_outside_the_mask_the_lora_changes_nothing(graph: GraphBuilder, write: Write) -> None:
    """Only the last step is guided, so that the model cannot carry a change out of the mask."""
    settings = middle(graph) | {"first_timestep": 700.0}
    guided = Traced(graph, "sd15", lora_guidance(write(hand_lora()), **settings))
    plain = sample(graph, "sd15")
    assert len(told(graph.run(), guided.trace)["steps"]) == 1
    changed = (graph.saved(guided.latent) != graph.saved(plain)).any(1)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True
    assert not changed[:, ~inside].any()
    assert changed[:, inside].all()


def test_guidance_nodes_give_the_same_in_each_order(graph: GraphBuilder, write: Write) -> None:
    name = write(hand_lora())
    start = {"start_mask": graph.mask(SIDE, 32, 32, 96, 96)}
    visual = visual_guidance(CRITIC, **start, **ALWAYS)
    lora, lora_alone = (lora_guidance(name, **ALWAYS, **changes) for changes in ({}, {"vae": None}))
    mask, mask_with_start = hand_mask(), hand_mask(**start)
    visual_alone = visual_guidance(CRITIC, **ALWAYS)
    orders = (
        (visual, lora_alone),
        (lora, visual),
        (visual, lora),
        (visual_alone, lora_guidance(name, vae=None, **start, **ALWAYS)),
        (lora_guidance(name, **start, **ALWAYS), visual_alone),
        (mask, visual, lora_alone),
        (mask_with_start, lora_alone, visual_alone),
        (visual, mask, lora_alone),
        (lora, visual, mask),
    )
    names = [sample(graph, "sd15", in_order(*order), batch=1) for order in orders]
    others = [sample(graph, "sd15", *patch, batch=1) for patch in ((visual,), ())]
    graph.run()
    first, *rest = (graph.saved(one) for one in names)
    assert first.isfinite().all()
    assert [torch.equal(other, first) for other in rest] == [True] * len(rest)
    assert not any(torch.equal(graph.saved(other), first) for other in others)


def test_the_exact_gradient_goes_through_a_step_with_the_lora(graph: GraphBuilder, write: Write) -> None:
    name, settings = write(hand_lora()), middle(graph)
    lora = lora_guidance(name, vae=None, **ALWAYS)
    guided = [
        Traced(graph, "sd15", in_order(visual_guidance(CRITIC, mode=mode, **settings), lora))
        for mode in ("fast", "exact")
    ]
    run = graph.run()
    fast, exact = (graph.saved(one.latent) for one in guided)
    assert exact.isfinite().all()
    assert not torch.equal(exact, fast)
    (step, *_) = told(run, guided[1].trace)["steps"]
    assert all(image["step_rms"] > 0 and image["difference_rms"] > 0 for image in step["images"])


def test_several_runs_of_a_loaded_model_all_have_the_lora(graph: GraphBuilder, write: Write) -> None:
    """Its hooks come off after each run."""
    name, parts = write(hand_lora()), model_parts(graph, "sd15")
    latent = empty_latent(graph, "sd15", batch=1)
    guided = lora_guidance(name, applies_to="both", **everywhere(graph))(graph, parts)
    with_lora = loaded(name)(graph, parts)
    runs = []
    for seed in (1, 2, 3):
        runs.append(
            [
                graph.save(graph.sample(one, latent, seed=seed, steps=2, denoise=1.0))
                for one in (guided, parts, with_lora)
            ]
        )
        graph.run()
    for found, plain, expected in ([graph.saved(name) for name in names] for names in runs):
        assert relative(found, expected) < 1e-4
        assert relative(plain, expected) > 0.01


def test_beside_a_control_net_it_is_the_loaded_lora_too(graph: GraphBuilder, write: Write, hand_picture: str) -> None:
    name, control = write(hand_lora()), with_control_net(hand_picture)
    guided = lora_guidance(name, applies_to="both", **everywhere(graph))
    names = [
        sample(graph, "sd15", in_order(*patches))
        for patches in ((control, guided), (control, loaded(name)), (control,))
    ]
    graph.run()
    found, expected, without = (graph.saved(one) for one in names)
    assert relative(found, expected) < 1e-4
    assert relative(without, expected) > 0.01


def test_perturbed_attention_guidance_stays_in_effect(graph: GraphBuilder, write: Write) -> None:
    perturbed = model_patch("PerturbedAttentionGuidance", scale=3.0)
    guided = lora_guidance(write(hand_lora()), **middle(graph))
    patches = ((perturbed,), (guided,), (perturbed, guided), (guided, perturbed))
    names = [sample(graph, "sd15", in_order(*some)) for some in patches]
    graph.run()
    pag, lora, before, behind = (graph.saved(one) for one in names)
    assert torch.equal(before, behind)
    assert before.isfinite().all()
    assert not torch.equal(before, pag)
    assert not torch.equal(before, lora)


def test_a_guider_with_the_positive_prompt_last_works_too(graph: GraphBuilder, write: Write) -> None:
    name, parts = write(hand_lora()), model_parts(graph, "sd15")
    latent = empty_latent(graph, "sd15")

    def dual(parts: Parts) -> Link:
        prompts = {"cond1": parts["positive"], "cond2": parts["negative"], "negative": parts["negative"]}
        scales = {"cfg_conds": 1.0, "cfg_cond2_negative": 1.0, "style": "regular"}
        guider = graph.add("DualCFGGuider", model=parts["model"], **prompts, **scales)
        sigmas = graph.add("BasicScheduler", model=parts["model"], scheduler="normal", steps=2, denoise=1.0)
        node = graph.add(
            "SamplerCustomAdvanced",
            noise=[graph.add("RandomNoise", noise_seed=7), 0],
            guider=[guider, 0],
            sampler=[graph.add("KSamplerSelect", sampler_name="euler"), 0],
            sigmas=[sigmas, 0],
            latent_image=latent,
        )
        return [node, 0]

    settings = everywhere(graph)
    found = graph.save(dual(lora_guidance(name, **settings)(graph, parts)))
    expected = sample(graph, "sd15", loaded(name), cfg=1.0)
    graph.run()
    assert relative(graph.saved(found), graph.saved(expected)) < 1e-4
    graph.save(dual(lora_guidance(name, applies_to="both", **settings)(graph, parts)))
    with pytest.raises(GraphFailed, match="applies_to is both, expected a guider with a positive and a negative"):
        graph.run()


class Encoded:
    """The small SD1.5 with prompts of the stand-in checkpoint's text encoder."""

    def __init__(self, graph: GraphBuilder, *before: Patch):
        self.graph = graph
        self.clip: Link = [graph.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT.name), 1]
        prompts = {"positive": self.encode(self.clip), "negative": self.encode(self.clip, "malformed")}
        self.parts = in_order(*before)(graph, model_parts(graph, "sd15") | prompts)
        self.latent = empty_latent(graph, "sd15", batch=1)

    def encode(self, clip: Link, text: str = "a hand") -> Link:
        return [self.graph.add("CLIPTextEncode", clip=clip, text=text), 0]

    def guided(self, name: str, **changes: Any) -> str:
        patched = lora_guidance(name, applies_to="both", **everywhere(self.graph), **changes)
        return self.sampled(patched(self.graph, self.parts))

    def sampled(self, parts: Parts) -> str:
        return self.graph.save(self.graph.sample(parts, self.latent, steps=2, denoise=1.0))


def test_clip_and_prompt_use_the_text_encoders_part(graph: GraphBuilder, write: Write) -> None:
    some = Encoded(graph)
    name = write(hand_lora() | kohya(ENCODER, 4, 768, 768, alpha=4.0))
    loader = graph.add(
        "LoraLoader", model=some.parts["model"], clip=some.clip, lora_name=name, strength_model=1.0, strength_clip=1.0
    )
    with_both = some.parts | {"model": [loader, 0], "positive": some.encode([loader, 1])}
    names = [
        some.guided(name, clip=some.clip, prompt="a hand"),
        some.guided(name),
        some.guided(name, clip=some.clip, prompt=" "),
        some.sampled(with_both),
    ]
    graph.run()
    guided, without, without_prompt, expected = (graph.saved(one) for one in names)
    assert relative(guided, expected) < 1e-4
    assert relative(without, expected) > 1e-3
    assert torch.equal(without_prompt, without)


def test_a_prompt_works_with_a_lora_of_the_network_alone_and_beside_a_control_net(
    graph: GraphBuilder, write: Write, hand_picture: str
) -> None:
    some = Encoded(graph, with_control_net(hand_picture))
    name = write(hand_lora())
    names = [
        some.guided(name),
        some.guided(name, clip=some.clip, prompt="a hand"),
        some.guided(name, clip=some.clip, prompt="five fingers"),
    ]
    graph.run()
    without, same, another = (graph.saved(one) for one in names)
    assert torch.equal(same, without)
    assert relative(another, without) > 1e-3


def test_the_report_names_what_is_not_used(graph: GraphBuilder, write: Write) -> None:
    name = write(hand_lora() | {UNMATCHED: torch.zeros(4, 4)})
    node = graph.guide_by_lora(model_parts(graph, "sd15"), name)
    text = graph.add("PreviewAny", source=[node, 2])
    report = graph.run().outputs[text]["text"][0]
    assert report == f"{name}: 3 layers are used.\n1 keys match nothing in this model: {UNMATCHED}"


def test_a_file_that_is_written_anew_is_read_anew(graph: GraphBuilder, server: ComfyServer, write: Write) -> None:
    name = write(hand_lora())
    node = graph.guide_by_lora(model_parts(graph, "sd15"), name)
    text = graph.add("PreviewAny", source=[node, 2])
    first = graph.run().outputs[text]["text"][0]
    file = server.base / "models" / "loras" / name
    safetensors.torch.save_file(kohya(f"{BLOCK}_attn1_to_q", 4, 128, 128), file)
    assert first == f"{name}: 3 layers are used."
    assert graph.run().outputs[text]["text"][0] == f"{name}: 1 layers are used."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vae": None}, "vae is not connected, and no Hand Visual Guidance or Hand Mask While Sampling comes before"),
        ({"prompt": "a hand"}, "prompt is given, but clip is not connected"),
        ({"first_timestep": 1.0, "last_timestep": 2.0}, "first timestep is 1 and last timestep is 2"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(
    graph: GraphBuilder, write: Write, changes: dict[str, Any], sentence: str
) -> None:
    sample(graph, "sd15", lora_guidance(write(hand_lora()), **changes))
    with pytest.raises(GraphFailed, match=sentence):
        graph.run()


def test_a_second_hand_lora_is_refused(graph: GraphBuilder, write: Write) -> None:
    lora = lora_guidance(write(hand_lora()))
    sample(graph, "sd15", in_order(lora, lora))
    with pytest.raises(GraphFailed, match="model already has Hand LoRA Guidance: merge the two LoRAs"):
        graph.run()


def test_a_lora_of_another_model_is_refused(graph: GraphBuilder, write: Write) -> None:
    sample(graph, "sd15", lora_guidance(write(hand_lora("flux"))))
    with pytest.raises(GraphFailed, match="the file holds a LoRA of another model, expected a LoRA for this model"):
        graph.run()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lora_name": "none.safetensors"}, "lora_name is 'none.safetensors', which is not in models/loras/"),
        ({"applies_to": "all"}, "applies_to is 'all'"),
        ({"schedule": "steep"}, "schedule is 'steep'"),
    ],
)
def test_names_that_do_not_exist_are_refused_before_anything_runs(
    graph: GraphBuilder, write: Write, changes: dict[str, str], sentence: str
) -> None:
    inputs: dict[str, Any] = {"lora_name": write(hand_lora())} | changes
    sample(graph, "sd15", lora_guidance(**inputs))
    with pytest.raises(GraphRefused, match=sentence):
        graph.run()
