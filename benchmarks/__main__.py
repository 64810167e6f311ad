"""Run the benchmarks and print one flat object of figures."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from devtools.steps import StepFailed, step

from . import GROUPS, critic, detection, fairness, hand_lora, mpd_training, sampling, standin

BENCHMARKS = {
    "detection": ("hand detection", detection.run),
    "critic": ("the full discriminator", critic.run),
    "hand_lora": ("a step of the hand LoRA's training", hand_lora.run),
    "fairness": ("a step for several objectives", fairness.run),
    "mpd_training": ("a step of the MPD LoRA's training", mpd_training.run),
    "standin": ("guided sampling of the stand-in checkpoint", standin.run),
    "sampling": ("guided sampling at SD1.5's full size", sampling.run),
}


def main(groups: Sequence[str], out: Path | None) -> None:
    """Run some groups of benchmarks; write the figures to `out` where given."""
    figures: dict[str, float] = {}
    for group in groups:
        name, run = BENCHMARKS[group]
        with step(f"measuring {name}"):
            figures |= run()
    text = json.dumps(figures, indent=2)
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    try:
        main(options.only, options.out)
    except (StepFailed, OSError) as failure:
        sys.exit(f"bench: {failure}")
