import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fairhands.evaluation.ablation import BEFORE, PLAIN, Run, markdown, rows, write_ablation
from fairhands.evaluation.measures import wilson_interval
from fairhands.evaluation.people_scores import FACE, RIGHT, mean_with_interval

LOSSES = {"global": 0.5, "hand": 1.0}


def run(strategy: str, seed: int, right: list[float], hand_loss: float = 0.9, rank: int = 16) -> Run:
    scores = {RIGHT: right, FACE: [0.5 + value / 4 for value in right]}
    return Run(strategy, rank, seed, scores, {"global": 0.49, "hand": hand_loss}, LOSSES)


RUNS = [
    replace(run(BEFORE, 0, [0.0, 0.0, 1.0, 0.0]), losses=LOSSES, before={}),
    run(PLAIN, 0, [0.0, 0.0, 1.0, 1.0]),
    run(PLAIN, 1, [0.0, 1.0, 1.0, 1.0]),
    run("mpd", 0, [1.0, 0.0, 1.0, 1.0], 0.8),
    run("mpd", 1, [1.0, 1.0, 1.0, 1.0], 0.7),
]


def test_a_line_pools_the_pictures_of_all_seeds() -> None:
    before, single, mpd = rows(RUNS)
    assert [before.name, single.name, mpd.name] == ["before", "single", "mpd"]
    assert mpd.scores[RIGHT] == (7 / 8, wilson_interval(7, 8))
    assert mpd.by_seed[RIGHT] == [3 / 4, 1.0]
    assert mpd.changes["hand"] == pytest.approx([-0.2, -0.3])
    assert before.changes == {"global": [], "hand": []}


def test_a_gain_is_measured_picture_by_picture_against_the_plain_training_of_the_same_seed() -> None:
    before, single, mpd = rows(RUNS)
    assert not before.gains
    assert not single.gains
    assert mpd.gains[RIGHT] == mean_with_interval([1, 0, 0, 0, 1, 0, 0, 0])
    worse = rows([RUNS[3], replace(RUNS[3], strategy=PLAIN, scores=RUNS[4].scores)])[0]
    assert worse.gains[RIGHT][0] == pytest.approx(-0.25)


def test_ranks_are_told_apart_and_compared_with_their_own() -> None:
    lines = rows([*RUNS, run(PLAIN, 0, [1.0] * 4, rank=64), run("mpd", 0, [0.0] * 4, rank=64)])
    assert [line.name for line in lines] == [
        *("before", "single, rank 16", "mpd, rank 16", "single, rank 64", "mpd, rank 64")
    ]
    assert lines[-1].gains[RIGHT][0] == -1.0


def test_the_table_says_rates_gains_and_changes() -> None:
    table = markdown(rows(RUNS)).splitlines()
    assert len(table) == 5
    assert len({line.count("|") for line in table}) == 1
    assert "| mpd | 87.5% (" in table[4]
    assert "+25.0 (" in table[4]
    assert "-25.00% (-30.00% to -20.00%)" in table[4]
    assert table[2].endswith("| - | - |")


def test_table_plot_and_figures_are_written(tmp_path: Path) -> None:
    table = write_ablation(tmp_path, RUNS, {"settings": {"steps": 5}})
    assert (tmp_path / "ablation.md").read_text() == table
    content = json.loads((tmp_path / "ablation.json").read_text())
    assert content["settings"] == {"steps": 5}
    assert [Run(**each) for each in content["runs"]] == RUNS
    assert Image.open(tmp_path / "ablation.png").width > 800
