"""Run the benchmarks and print one flat object of figures."""

import argparse
import json
import sys
from pathlib import Path

from devtools.steps import StepFailed, step

from . import detection, sampling

BENCHMARKS = {"hand detection": detection.run, "guided sampling": sampling.run}


def main(out: Path | None) -> None:
    """Run all; write the figures to `out` where given."""
    figures: dict[str, float] = {}
    for name, run in BENCHMARKS.items():
        with step(f"measuring {name}"):
            figures |= run()
    text = json.dumps(figures, indent=2)
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    try:
        main(parser.parse_args().out)
    except (StepFailed, OSError) as failure:
        sys.exit(f"bench: {failure}")
