import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairhands.fairness.report import last_means, plot, write_report
from fairhands.training.loop import Curve

NAMES = ("global", "left_eye", "hand")


def curve(*values: float) -> Curve:
    return [(step, value) for step, value in enumerate(values, start=1)]


def every(steps: int = 200) -> dict[str, Curve]:
    """Curves of all figures; of the hand's weight every other point is absent."""
    numbers = np.random.default_rng(0).uniform(0.1, 1, (12, steps))
    curves = {name: curve(*numbers[at]) for at, name in enumerate(NAMES)}
    for figure in ("weight", "gradient_norm", "share", "present"):
        curves |= {f"{figure}/{name}": curve(*numbers[at + 3]) for at, name in enumerate(NAMES)}
    curves["present/hand"] = curve(*(step % 2 for step in range(steps)))
    curves["weight/hand"] = curve(*(0.5 * (step % 2) for step in range(steps)))
    curves |= {f"cosine/{pair}": curve(*numbers[9]) for pair in ("global_left_eye", "global_hand", "left_eye_hand")}
    return curves | {"loss": curve(*numbers[10]), "held_out/global": [(0, 2.0), (200, 1.0)]}


def size(picture: bytes) -> tuple[int, int]:
    return Image.open(BytesIO(picture)).size


def test_the_report_is_json_and_a_picture(tmp_path: Path) -> None:
    write_report(tmp_path, NAMES, every(), {"steps": 200})
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["steps"], report["objectives"]) == (200, list(NAMES))
    assert report["curves"]["held_out/global"] == [[0, 2.0], [200, 1.0]]
    assert report["last"]["held_out/global"] == 1.0
    assert Image.open(tmp_path / "report.png").size[0] > 1000


def test_the_last_means_are_those_of_the_last_tenth() -> None:
    found = last_means(
        {"loss": curve(*range(1, 21)), "short": curve(3, 5), "held_out/hand": curve(*range(20)), "no": []}
    )
    assert found == {"loss": 19.5, "short": 5, "held_out/hand": 19}


def test_panels_of_what_was_not_logged_stay_out() -> None:
    whole, few = every(), {"global": curve(1, 2), "hand": curve(1, 0)}
    assert size(plot(NAMES, whole))[0] > 2 * size(plot(NAMES, few))[0]
    assert size(plot(NAMES, {}))


def test_a_weight_is_shown_as_it_was_where_its_objective_was_present() -> None:
    def shown(present: float, weight: float) -> bytes:
        return plot(("hand",), {"present/hand": curve(*[present] * 9), "weight/hand": curve(*[weight] * 9)})

    assert shown(1, 0.5) == shown(0.5, 0.25) != shown(0.5, 0.4)


@pytest.mark.filterwarnings("error")
def test_weights_that_are_negative_are_drawn_too() -> None:
    curves = every()
    curves["weight/left_eye"] = curve(*(-0.2 for _ in range(200)))
    assert size(plot(NAMES, curves))[0] > 1000
