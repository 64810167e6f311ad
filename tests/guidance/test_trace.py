import json
from dataclasses import asdict

import pytest
import torch

from fairhands.guidance.trace import ImageRecord, StepRecord, Trace, describe_hands
from fairhands.hands.hand import Hand


def test_the_json_holds_every_number_and_reads_back_as_it_was() -> None:
    hands = describe_hands([Hand((1.23, 2.0, 30.06, 4.0), 0.87654, "left", None)])
    image = ImageRecord(hands, 0.1, 1, "closer look", 0.5, 0.4, 1e-7, 0.05, 0.02, "a note")
    step = StepRecord(600.0, 2.1, 0.7, 1.5, [image, ImageRecord()], {"decode": 0.25})
    trace = Trace({"w": 2.0, "window": [650.0, 150.0]}, [step], torch.ones(1, 4, 4))
    read = json.loads(trace.to_json())
    assert read == {"settings": trace.settings, "steps": [asdict(step)]}
    assert ImageRecord(**read["steps"][0]["images"][0]) == image
    assert read["steps"][0]["images"][1]["loss"] is None


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_becomes_null_because_json_knows_none(number: float) -> None:
    trace = Trace({"w": number}, [StepRecord(600.0, 2.1, images=[ImageRecord(loss=number, mask_area=0.1)])])
    read = json.loads(trace.to_json(), parse_constant=pytest.fail)
    assert read["steps"][0]["images"][0]["loss"] is None
    assert read["settings"]["w"] is None
    assert read["steps"][0]["images"][0]["mask_area"] == 0.1


def test_hands_are_described_by_box_score_and_side() -> None:
    (hand,) = describe_hands([Hand((1.23, 2.0, 30.06, 4.0), 0.87654, "right", None)])
    assert hand == {"box": [1.2, 2.0, 30.1, 4.0], "score": 0.8765, "side": "right"}


@pytest.mark.parametrize(
    ("record", "guided"),
    [
        (ImageRecord(), False),
        (ImageRecord(loss=0.5, gradient_rms=1.0), False),
        (ImageRecord(step_rms=0.1), True),
        (ImageRecord(difference_rms=0.1), True),
        (ImageRecord(difference_rms=0.0), False),
    ],
)
def test_an_image_is_guided_where_a_step_was_made(record: ImageRecord, guided: bool) -> None:
    assert record.guided is guided
