from pathlib import Path

import pytest
import torch

from fairhands.adapters.training import AdapterTraining
from fairhands.fairness.settings import FairnessSettings, FairSettings, ObjectiveSettings, check, new_fair_backward
from fairhands.fairness.strategies import StrategyError
from fairhands.training.configuration import ConfigurationError, read
from tests.fairness.layers import OBJECTIVES, inputs, losses, network


def test_objectives_are_named_with_the_whole_picture_first() -> None:
    assert ObjectiveSettings().names == ("global", "face", "hand")
    more = {"regions": ("hand", "feet", "left_eye"), "preference": {"reward": "a:b"}}
    assert ObjectiveSettings.model_validate(more).names == ("global", "hand", "feet", "left_eye", "preference")


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ('["global"]', "should not name a region global"),
        ('["hand", "hand"]', "should name each region once"),
        ('["Left Hand"]', "should be words of small letters"),
    ],
)
def test_regions_that_are_no_names_are_refused(regions: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        read(FairSettings, None, {"objectives.regions": regions})


def test_each_strategy_gives_the_gradient_that_it_stands_for() -> None:
    found = {}
    for name in ("mpd", "mpd_closed_form", "sum", "fixed", "uncertainty", "dwa"):
        settings = FairnessSettings.model_validate({"strategy": name, "fixed": (1.0, 0.0, 0.0)})
        model = network()
        backward = new_fair_backward(settings, OBJECTIVES)(list(model.parameters()))
        backward.add(losses(model, inputs()), 1.0)
        figures = backward.finish()
        assert figures["weight/global"] != 0
        found[name] = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    plain = network()
    losses(plain, inputs())["global"].backward()
    own = torch.cat([weight.grad.flatten() for weight in plain.parameters() if weight.grad is not None])
    torch.testing.assert_close(found["fixed"], own)
    assert not torch.allclose(found["mpd"], found["sum"])
    assert float(found["mpd"].norm()) == pytest.approx(float(own.norm()), rel=1e-3)


def wrong(tmp_path: Path, file: str = "lora/lora.safetensors", dropout: float = 0.0, **changes) -> str:
    """What the check of settings says, which are right but for the changes."""
    (tmp_path / "people").mkdir(exist_ok=True)
    values = {"base": "base.safetensors", "data": {"prepared": [tmp_path / "people"]}} | changes
    training = {"steps": 1, "batch": 1, "learning_rate": 1e-4} | values.pop("training", {})
    try:
        check(FairSettings.model_validate(values, strict=False), AdapterTraining(**training), tmp_path / file, dropout)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def test_right_settings_pass(tmp_path: Path) -> None:
    assert wrong(tmp_path) == ""
    batched = {"strategy": "mpd", "batched": True}
    assert wrong(tmp_path, dropout=0.1, fairness=batched) == ""
    assert wrong(tmp_path, training={"checkpointing": True}, fairness=batched) == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"base": ""}, "No base model is given"),
        ({"data": {}}, "No pictures are given: data.prepared names folders"),
        ({"data": {"prepared": ["nowhere"]}}, "data.prepared names nowhere, which is no folder"),
        ({"fairness": {"strategy": "fixed", "fixed": (1.0,)}}, "fixed should have a weight for each of 3 objectives"),
        ({"fairness": {"strategy": "fixed", "fixed": (1.0, -1.0, 1.0)}}, "finite and not negative"),
        ({"fairness": {"refresh_every": 0}}, "refresh_every should be at least 1, found 0"),
        ({"training": {"optimiser": "prodigy"}}, "prodigy"),
        (
            {"fairness": {"strategy": "dwa"}, "objectives": {"preference": {"reward": "a:b"}}},
            "the strategy dwa weights by the losses",
        ),
        ({"file": "people"}, "folder"),
        (
            {"dropout": 0.1, "fairness": {"batched": True}, "training": {"checkpointing": True}},
            "needs a dropout of 0, found 0.1",
        ),
    ],
)
def test_what_would_stop_the_training_later_is_said_before(tmp_path: Path, changes: dict, expected: str) -> None:
    assert expected in wrong(tmp_path, **changes)


def test_torchjd_that_is_missing_is_named() -> None:
    backward = new_fair_backward(FairnessSettings(strategy="torchjd", aggregator="Nothing"), OBJECTIVES)
    with pytest.raises(StrategyError, match="torchjd"):
        backward([])
