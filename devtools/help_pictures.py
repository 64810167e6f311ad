"""Draw the pictures of the help pages anew, by the nodes themselves on a real ComfyUI.

python3 dev.py run devtools.help_pictures [NAME ...]        (after `python3 dev.py demo`, which sets ComfyUI up)
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from fairhands.data import mannequin

from . import comfyui, environment
from .client import ComfyClient
from .help_graph import LORA, STEPS, Graph
from .paths import ROOT
from .server import ComfyServer
from .sheet import Tile, changes, columns, outlined, save, sheet
from .steps import StepFailed

FOLDER = ROOT / "web" / "docs" / "pictures"
DRAWN_SEED, STUDIO_SEED, DRAWN_SIDE = 13, 6, 304
KINDS = mannequin.STUDIO_KINDS
NewGraph = Callable[[], Graph]


def detection_mask(new: NewGraph) -> Image.Image:
    """Forms of the mask over a drawn hand, and below what grows and softens it."""
    shown, masks = new(), new()
    hand = mannequin.draw(DRAWN_SEED, DRAWN_SIDE, kind=mannequin.RIGHT).picture
    forms = {form: {"shape": form} for form in ("shape", "hull", "box")}
    sizes = {
        "padding 0": {"padding": 0.0},
        "padding 0.3": {"padding": 0.3},
        "dilation 16": {"dilation": 16},
        "feather 32": {"feather": 32},
    }
    upper = shown.pictures(*[[_detected(shown, hand, form), 1] for form in forms.values()])
    lower = masks.pictures(*[masks.as_picture([_detected(masks, hand, size), 0]) for size in sizes.values()])
    first = [Tile(Image.fromarray(hand), "picture")]
    return sheet(
        [
            first + [Tile(made[0], name) for name, made in zip(forms, upper, strict=True)],
            [Tile(made[0], name) for name, made in zip(sizes, lower, strict=True)],
        ]
    )


def _detected(graph: Graph, hand: np.ndarray, settings: Mapping[str, object]) -> str:
    return graph.add("FairHandsHandDetectionMask", image=graph.uploaded(hand), **settings)


def discriminator(new: NewGraph) -> Image.Image:
    """What the shipped discriminator says of drawn hands of each kind."""
    graph = new()
    hands = [mannequin.draw(STUDIO_SEED, DRAWN_SIDE, kind=kind, studio=True).picture for kind in KINDS]
    scored = [graph.add("FairHandsHandScore", image=graph.uploaded(hand), discriminator=graph.critic) for hand in hands]
    scores = [float(text) for text in graph.texts(*[[node, 2] for node in scored])]
    captions = [f"{kind.replace('_', ' ')}: {score:.2f}" for kind, score in zip(KINDS, scores, strict=True)]
    return sheet([[Tile(Image.fromarray(hand), caption) for hand, caption in zip(hands, captions, strict=True)]], 164)


def visual_guidance(new: NewGraph) -> Image.Image:
    """Strengths of visual guidance."""
    graph = new()
    plain = graph.sampled(graph.model)
    strengths = [graph.sampled(graph.visual(graph.model, w=w)) for w in (1.0, 4.0, 24.0)]
    return columns(["unguided", "w 1", "w 4", "w 24"], graph.pictures(plain, *strengths))


def lora_guidance(new: NewGraph) -> Image.Image:
    """Strengths of LoRA guidance."""
    graph = new()
    plain = graph.sampled(graph.model)
    strengths = [graph.sampled(graph.textual(graph.model, v=v)) for v in (1.0, 2.0, 8.0)]
    return columns(["unguided", "v 1", "v 2", "v 8"], graph.pictures(plain, *strengths))


def mask_growth(new: NewGraph) -> Image.Image:
    """The clean estimates after some of the steps, with the outline of the mask so far."""
    graph = new()
    ends = (3, 5, 8, STEPS)
    early = {"w": 2.0, "first_timestep": 950.0, "detection_threshold": 0.3}
    parts = [graph.guided_sampler(graph.model, {"end_at_step": end}, **early) for end in ends]
    latents = [graph.decoded([part, 0]) for part in parts]
    pictures = graph.pictures(*latents, *[graph.as_picture([part, 1]) for part in parts])
    grown = [outlined(*pair) for pair in zip(pictures[: len(ends)], pictures[len(ends) :], strict=True)]
    return columns([f"step {end}" for end in ends], grown)


def keep_background(new: NewGraph) -> Image.Image:
    """How much of the picture changes without and with a kept background, ten times enlarged."""
    graph = new()
    off, on = ([graph.guided_sampler(graph.model, w=8.0, keep_background=kept), 0] for kept in (False, True))
    plain, guided, kept = graph.pictures(graph.sampled(graph.model), graph.decoded(off), graph.decoded(on))
    enlarged = [[changes(*pair) for pair in zip(plain, made, strict=True)] for made in (guided, kept)]
    return columns(["guided", "changes x 10", "kept", "changes x 10"], [guided, enlarged[0], kept, enlarged[1]])


def guided_ksampler(new: NewGraph) -> Image.Image:
    """The same seeds without and with guidance, and the masks that they end with."""
    graph = new()
    guided = graph.guided_sampler(graph.model, w=4.0)
    links = graph.sampled(graph.model), graph.decoded([guided, 0]), graph.as_picture([guided, 1])
    plain, made, masks = graph.pictures(*links)
    return columns(["KSampler", "its mask", "guided, w 4"], [plain, outlined(plain, masks), made])


def modes(new: NewGraph) -> Image.Image:
    """Modes of visual guidance at the same strength."""
    graph = new()
    settings: list[dict[str, object]] = [{}, {"mode": "exact"}, {"recurrence": 3}]
    links = [graph.sampled(graph.visual(graph.model, w=3.0, **each)) for each in settings]
    made = graph.pictures(graph.sampled(graph.model), *links)
    return columns(["unguided", "fast", "exact", "recurrence 3"], made)


def together(new: NewGraph) -> Image.Image:
    """Guidance nodes one by one and in a chain, sampled by the custom sampler."""
    graph = new()
    visual, textual = graph.visual(graph.model, w=4.0), graph.textual(graph.model, v=2.0)
    both = graph.textual(graph.visual(graph.model, w=4.0), v=2.0)
    made = graph.pictures(graph.sampled(graph.model), *[graph.custom(model) for model in (visual, textual, both)])
    return columns(["unguided", "visual", "LoRA", "both"], made)


def trace_plot(new: NewGraph) -> Image.Image:
    """The plot of visual guidance that asks for the loss before and after each step."""
    graph = new()
    model = graph.visual(graph.model, w=2.0, measure_effect=True)
    latent = [graph.add("KSampler", **graph.sampling(model)), 0]
    plot = graph.add("FairHandsGuidanceTracePlot", trace=[model[0], 1], after=latent, width=720, height=520)
    return graph.pictures([plot, 0])[0][0]


def hand_score(new: NewGraph) -> Image.Image:
    """A batch as Hand Score annotates it."""
    graph = new()
    batch = graph.sampled(graph.model, noises=(9, 16, 20, 2, 22, 19))
    large = graph.add("ImageScale", image=batch, upscale_method="lanczos", width=256, height=256, crop="disabled")
    score = graph.add("FairHandsHandScore", image=[large, 0], discriminator=graph.critic)
    (made,) = graph.pictures([score, 3])
    return sheet([[Tile(each) for each in made[:3]], [Tile(each) for each in made[3:]]], side=204)


def load_lora(new: NewGraph) -> Image.Image:
    """A LoRA that is loaded as a whole, at several strengths."""
    graph = new()
    strengths = (0.0, 0.5, 1.0, 2.0)
    models = [
        [graph.add("FairHandsLoadMPDLoRA", model=graph.model, lora_name=LORA, strength_model=strength), 0]
        for strength in strengths
    ]
    made = graph.pictures(*[graph.sampled(model) for model in models])
    return columns([f"strength {strength:g}" for strength in strengths], made)


def mannequin_prompt(new: NewGraph) -> Image.Image:
    """What each prompt gives."""
    graph = new()
    prompts = ("hand", "right hand", "malformed hand", "(nothing)")
    made = graph.pictures(*[graph.sampled(graph.model, prompt=prompt) for prompt in prompts])
    return columns(prompts, made)


PICTURES: dict[str, Callable[[NewGraph], Image.Image]] = {
    "detection_mask.jpg": detection_mask,
    "discriminator.jpg": discriminator,
    "visual_guidance.jpg": visual_guidance,
    "lora_guidance.jpg": lora_guidance,
    "mask_growth.jpg": mask_growth,
    "keep_background.jpg": keep_background,
    "guided_ksampler.jpg": guided_ksampler,
    "modes.jpg": modes,
    "together.jpg": together,
    "trace_plot.png": trace_plot,
    "hand_score.jpg": hand_score,
    "load_lora.jpg": load_lora,
    "mannequin_prompt.jpg": mannequin_prompt,
}


def main(names: list[str], folder: Path = FOLDER) -> None:
    """Draw the named pictures, or all. Raises StepFailed for another name, or without a ComfyUI."""
    unknown = set(names) - set(PICTURES)
    if unknown:
        raise StepFailed(f"There is no {', '.join(sorted(unknown))}: choose among {', '.join(PICTURES)}.")
    prepared, comfy_ui = environment.current(), comfyui.present()
    if prepared is None or comfy_ui is None:
        raise StepFailed("Nothing is set up yet: run `python3 dev.py demo`.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as base, ComfyServer(comfy_ui, prepared, Path(base)) as server:
        client = ComfyClient(server.address)
        schemas = client.get("/object_info")
        for name in names or PICTURES:
            save(PICTURES[name](lambda: Graph(client, schemas)), folder / name)
            print(folder / name)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except StepFailed as failure:
        sys.exit(f"help_pictures: {failure}")
