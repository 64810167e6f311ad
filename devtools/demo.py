"""The main job: mend the hands of a photo in a real ComfyUI, and write what came of it.

python -m devtools.demo [--photo FILE] --out DIR
"""

import argparse
import json
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from fairhands.data import mannequin

from . import comfyui, environment, graph, models
from .client import ComfyClient, GraphFailed, GraphRefused, Run
from .paths import ROOT
from .sampling import MODEL
from .server import ComfyServer
from .steps import StepFailed, step

GRAPH = ROOT / "workflows" / "mend_hands_of_a_picture.json"
MANNEQUIN_SEED, MANNEQUIN_SIZE, MANNEQUIN_KIND = 3, 128, "fused"
# The longer side that the hands are drawn at: the largest that the mannequin model knows.
DRAWN_AT = 256
CRITIC = "studio_critic.safetensors"
PROMPTS = {"What the hands should be": "hand", "What they should not be": "(nothing)"}
SAMPLING = {"cfg": 1.0, "denoise": 0.65, "scheduler": "simple"}
# What the benchmark of mannequin hands was measured with.
GUIDANCE = {"w": 4.0, "first_timestep": 800.0, "last_timestep": 300.0}
PICTURES = {
    "mask.png": "Mask over the picture",
    "unguided.png": "Unguided picture",
    "guided.png": "Guided picture",
    "trace.png": "What guidance did",
}
STAGES = {
    "detection": "Find the hands",
    "encode": "VAEEncode",
    "unguided_sampling": "Unguided",
    "guided_sampling": "Guided",
}


def main(photo: Path | None, out: Path) -> dict[str, Any]:
    """Run the demo; the report that it also writes to `out/report.json`. Raises StepFailed."""
    models.require()
    prepared, comfy_ui = environment.current(), comfyui.present()
    if prepared is None or comfy_ui is None:
        raise StepFailed("Nothing is set up yet: run `python3 dev.py demo`.")
    out.mkdir(parents=True, exist_ok=True)
    picture, name = _picture(photo)
    with tempfile.TemporaryDirectory() as base:
        start = time.monotonic()
        with step("starting ComfyUI with the pack"):
            server = ComfyServer(comfy_ui, prepared, Path(base))
            server.start()
        start_seconds = time.monotonic() - start
        try:
            client = ComfyClient(server.address)
            with step(f"mending the hands of {name}"):
                prompt, run = mend(client, picture, Path(base))
            result = report(client, comfy_ui, name, prompt, run)
            result["seconds"] = {"server_start": round(start_seconds, 2), **result["seconds"]}
            for file, title in PICTURES.items():
                (out / file).write_bytes(client.file(run.outputs[graph.by_title(prompt, title)]["images"][0]))
        finally:
            server.stop()
    (out / "report.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def _picture(photo: Path | None) -> tuple[Image.Image, str]:
    """The photo, upright, or a drawn hand with two fingers grown together."""
    if photo is None:
        drawn = mannequin.draw(MANNEQUIN_SEED, MANNEQUIN_SIZE, kind=MANNEQUIN_KIND, studio=True)
        return Image.fromarray(drawn.picture), f"drawn mannequin (seed {MANNEQUIN_SEED}, {MANNEQUIN_KIND})"
    try:
        return ImageOps.exif_transpose(Image.open(photo)).convert("RGB"), str(photo)
    except (UnidentifiedImageError, OSError) as error:
        raise StepFailed(
            f"--photo is {photo}, which cannot be read as a picture ({error}): give a PNG or JPEG."
        ) from error


def mend(client: ComfyClient, picture: Image.Image, folder: Path) -> tuple[dict[str, Any], Run]:
    """Run the shared graph on the picture; the prompt as posted, and what it left."""
    file = folder / "picture.png"
    picture.save(file)
    prompt = graph.to_prompt(graph.load(GRAPH), client.get("/object_info"))
    prompt[graph.by_title(prompt, "Picture")]["inputs"]["image"] = client.upload_image(file)
    width, height = _size_to_draw_at(picture.size)
    prompt[graph.by_title(prompt, "Size to draw at")]["inputs"].update(width=width, height=height)
    _use_mannequin_model(prompt)
    prompt |= _checks(prompt)
    try:
        return prompt, client.run(prompt)
    except (GraphRefused, GraphFailed) as error:
        raise StepFailed(f"ComfyUI could not run the graph: {error}") from error


def _use_mannequin_model(prompt: dict[str, Any]) -> None:
    """Put the shipped model, its prompts and its critic in the place of an SD 1.5 checkpoint's, in place."""
    prompt[graph.by_title(prompt, "Checkpoint")]["inputs"]["ckpt_name"] = MODEL
    prompt[graph.by_title(prompt, "FairHandsLoadHandDiscriminator")]["inputs"]["discriminator"] = CRITIC
    for title, text in PROMPTS.items():
        node = prompt[graph.by_title(prompt, title)]
        node |= {"class_type": "FairHandsMannequinPrompt", "inputs": {"prompt": text}}
    checkpoint = [graph.by_title(prompt, "Checkpoint"), 0]
    prompt["shifted"] = _node("ModelSamplingSD3", model=checkpoint, shift=1.0)
    for title in ("Unguided", "Guided"):
        prompt[graph.by_title(prompt, title)]["inputs"] |= {**SAMPLING, "model": ["shifted", 0]}
    prompt[graph.by_title(prompt, "Guided")]["inputs"] |= GUIDANCE


def _checks(prompt: dict[str, Any]) -> dict[str, Any]:
    """Nodes beside the artist's graph that save what the report compares."""
    mask = [graph.by_title(prompt, "Find the hands"), 0]
    photo = [graph.by_title(prompt, "VAEEncode"), 0]
    guided = [graph.by_title(prompt, "Keep the rest, bit for bit"), 0]

    return {
        "photo_latent": _node("SaveLatent", samples=photo, filename_prefix="check/photo"),
        "guided_latent": _node("SaveLatent", samples=guided, filename_prefix="check/guided"),
        "mask_image": _node("MaskToImage", mask=mask),
        "mask_file": _node("SaveImage", images=["mask_image", 0], filename_prefix="check/mask"),
    }


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}


def report(
    client: ComfyClient, comfy_ui: comfyui.ComfyUI, name: str, prompt: dict[str, Any], run: Run
) -> dict[str, Any]:
    """What the run found and did, as plain values; see the README for its keys."""
    hands = json.loads(run.outputs[graph.by_title(prompt, "Hands found")]["text"][0])[0]
    mask = Image.open(BytesIO(client.file(run.outputs["mask_file"]["images"][0]))).convert("L")
    photo, guided = (
        safetensors.torch.load(client.file(run.outputs[key]["latents"][0]))["latent_tensor"]
        for key in ("photo_latent", "guided_latent")
    )
    outside = _outside(mask, (photo.shape[-2], photo.shape[-1]))
    return {
        "comfyui_version": client.get("/system_stats")["system"]["comfyui_version"],
        "comfyui_source": comfy_ui.source,
        "photo": name,
        "hands": [
            {"box": [hand[key] for key in ("x", "y", "width", "height")], "score": hand["score"], "side": hand["side"]}
            for hand in hands
        ],
        "mask_area": round(float(np.asarray(mask).mean()) / 255, 6),
        "outside_max_abs_diff": float(((guided - photo).abs() * outside).max()),
        "seconds": _seconds(prompt, run),
    }


def _outside(mask: Image.Image, latent_size: tuple[int, int]) -> torch.Tensor:
    """Where no pixel of a latent cell lies in the mask: float `[h, w]`, 1 or 0.

    The saved mask has 256 levels, so two pixels around it count as mask: the feathered edge ends there.
    """
    inside = torch.from_numpy(np.asarray(mask) > 0).float()[None, None]
    grown = torch.nn.functional.max_pool2d(inside, kernel_size=5, stride=1, padding=2)
    return (torch.nn.functional.adaptive_max_pool2d(grown, latent_size)[0, 0] == 0).float()


def _seconds(prompt: dict[str, Any], run: Run) -> dict[str, float]:
    stages = {}
    for stage, title in STAGES.items():
        stages[stage] = round(run.seconds.get(graph.by_title(prompt, title), 0.0), 2)
    stages["graph"] = round(sum(run.seconds.values()), 2)
    return stages


def _size_to_draw_at(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height, multiples of 8, with the longer side at most DRAWN_AT."""
    scale = min(1.0, DRAWN_AT / max(size))
    width, height = (max(64, round(side * scale / 8) * 8) for side in size)
    return width, height


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m devtools.demo", description=__doc__)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        print(json.dumps(main(options.photo, options.out), indent=2))
    except StepFailed as failure:
        sys.exit(f"demo: {failure}")
    print(f"The pictures are in {options.out}.")
