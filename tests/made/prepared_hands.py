"""Prepared hands made of drawn ones, for tests of what reads them."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

from fairhands.data.mannequin import draw

SIDE = 96

Crop = tuple[str, str, int, str]
"""Its pair, its kind ("real", "fake"), its level, its text."""


def make_prepared_hands(folder: Path, *crops: Crop) -> Path:
    """Write a folder of prepared hands, in the layout of `python -m trainers.prepare_hands`."""
    (folder / "images").mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for number, (pair, kind, level, text) in enumerate(crops):
        scene = draw(number, SIDE, kind="right" if kind == "real" else "six_fingers", studio=True)
        file_name = f"images/{number}.png"
        Image.fromarray(scene.picture).save(folder / file_name)
        line = {"file_name": file_name, "text": text, "kind": kind, "pair": pair, "level": level}
        lines.append({**line, "hand": list(map(float, scene.boxes[0])), "score": None, "source": f"{number}.jpg"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = {"kind": "hand pairs", "format": 1, "counts": {}, "sha256": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
