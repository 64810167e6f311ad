"""LoRA files of the trainers in Load MPD LoRA."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfy_graphs import GraphBuilder, Link

from fairhands.adapters import export
from fairhands.adapters.lora import LoraAdapter

MADE_BY = {
    "command": "python -m trainers.mpd_lora --config mine.toml",
    "seed": 3,
    "steps": 20000,
    "base": "mine.safetensors",
    "objectives": ["global", "face", "hand"],
    "strategy": "mpd",
}

Save = Callable[..., str]


def loras(base: Path) -> Path:
    """The loras folder of the server whose folder is `base`."""
    folder = base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    return folder


def save_lora(base: Path, adapter: LoraAdapter) -> str:
    """Write an adapter's file into that folder; its name."""
    name = f"mpd_{len(list(loras(base).iterdir()))}.safetensors"
    export.save(adapter, loras(base) / name, MADE_BY | {"base_family": adapter.base.family})
    return name


def load_lora(graph: GraphBuilder, model: Link, name: str, **changes: Any) -> str:
    inputs = {"model": model, "lora_name": name, "strength_model": 1.0, "strength_clip": 1.0}
    return graph.add("FairHandsLoadMPDLoRA", **(inputs | changes))


def shown(graph: GraphBuilder, node: str) -> list[str]:
    """The lines that a node shows, once its graph ran."""
    report = graph.add("PreviewAny", source=[node, 2])
    run = graph.run()
    (text,) = run.outputs[node]["text"]
    assert run.outputs[report]["text"] == [text]
    return text.splitlines()
