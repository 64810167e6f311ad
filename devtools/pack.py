"""The pack as it is published: the checkout without what `.comfyignore` names."""

import shutil
from pathlib import Path

from .paths import ROOT

NEVER = (".*", "__pycache__", "*.pyc", "*.part")


def install(custom_nodes: Path) -> Path:
    """Copy the pack into a `custom_nodes` folder, in place of an earlier copy; returns the pack's folder."""
    target = custom_nodes / "fairhands"
    shutil.rmtree(target, ignore_errors=True)
    left_out = [line.strip() for line in (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()]
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*NEVER, *filter(None, left_out)))
    return target
