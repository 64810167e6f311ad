"""The table and plot of an ablation: one line for each strategy and rank, over its seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..whole_files import write_whole
from .people_scores import SCORES, mean_with_interval, score_with_interval

BEFORE = "before"
PLAIN = "single"  # what the others are compared with


@dataclass(frozen=True)
class Run:
    """One training's figures.

    Args:
        strategy, rank, seed: which one; strategy `before` is the base model.
        scores: of each sampled picture, by the score's name; the same place is the same noise in all runs.
        losses: of held-out pictures after the training, by objective.
        before: the same before it.
    """

    strategy: str
    rank: int
    seed: int
    scores: Mapping[str, Sequence[float]]
    losses: Mapping[str, float]
    before: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A strategy and rank over its seeds.

    Args:
        name: shown.
        scores: means and 95% intervals over all pictures.
        gains: mean differences to the plain training of the same rank, picture by picture, with their intervals.
        by_seed: means of each seed, by score.
        changes: of held-out losses against the base model, relative, each seed's, by objective.
    """

    name: str
    scores: dict[str, tuple[float, tuple[float, float]]]
    gains: dict[str, tuple[float, tuple[float, float]]]
    by_seed: dict[str, list[float]]
    changes: dict[str, list[float]]


def rows(runs: Sequence[Run]) -> list[Row]:
    """The lines of the table, in the order of the runs."""
    ranks = {run.rank for run in runs if run.strategy != BEFORE}
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.strategy, run.rank), []).append(run)
    return [
        _row(strategy if len(ranks) < 2 or strategy == BEFORE else f"{strategy}, rank {rank}", some,
             groups.get((PLAIN, rank), []) if strategy not in (BEFORE, PLAIN) else [])
        for (strategy, rank), some in groups.items()
    ]  # fmt: skip


def _row(name: str, runs: Sequence[Run], plain: Sequence[Run]) -> Row:
    scores, gains, by_seed = {}, {}, {}
    of_plain = {run.seed: run for run in plain}
    for score in runs[0].scores:
        scores[score] = score_with_interval([value for run in runs for value in run.scores[score]])
        by_seed[score] = [sum(run.scores[score]) / len(run.scores[score]) for run in runs]
        pairs = [
            own - other
            for run in runs
            if run.seed in of_plain
            for own, other in zip(run.scores[score], of_plain[run.seed].scores[score], strict=True)
        ]
        if pairs:
            gains[score] = mean_with_interval(pairs)
    changes = {
        name: [run.losses[name] / run.before[name] - 1 for run in runs if name in run.before] for name in runs[0].losses
    }
    return Row(name, scores, gains, by_seed, changes)


def markdown(lines: Sequence[Row]) -> str:
    """The table, a line for each row."""
    scores, objectives = list(lines[0].scores), list(lines[0].changes)
    titles = ["training", *(SCORES[name] for name in scores), *(f"held-out {name} loss" for name in objectives)]
    table = [titles, ["---"] * len(titles)]
    for line in lines:
        cells = [line.name, *(_score(line, name) for name in scores), *(_change(line.changes[o]) for o in objectives)]
        table.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def _score(line: Row, name: str) -> str:
    mean, (low, high) = line.scores[name]
    text = f"{mean:.1%} ({low:.1%} to {high:.1%})"
    if name not in line.gains:
        return text
    gain, (least, most) = line.gains[name]
    return f"{text}; {gain * 100:+.1f} ({least * 100:+.1f} to {most * 100:+.1f}) points"


def _change(changes: Sequence[float]) -> str:
    if not changes:
        return "-"
    mean = f"{sum(changes) / len(changes):+.2%}"
    return mean if len(changes) == 1 else f"{mean} ({min(changes):+.2%} to {max(changes):+.2%})"


def plot(lines: Sequence[Row]) -> bytes:
    """Scores with their intervals and seeds, and changes of held-out losses, as a PNG."""
    scores, objectives = list(lines[0].scores), list(lines[0].changes)
    panels = len(scores) + 1
    figure = Figure(figsize=(3.4 * panels, 3.4), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis, name in zip(axes, scores, strict=False):
        _plot_score(axis, lines, name)
    trained = [line for line in lines if any(line.changes.values())]
    for at, objective in enumerate(objectives):
        for place, line in enumerate(trained):
            changes = line.changes[objective]
            x = place + 0.22 * (at - (len(objectives) - 1) / 2)
            axes[-1].bar(
                x, 100 * sum(changes) / len(changes), width=0.2, color=f"C{at}", label=None if place else objective
            )
            axes[-1].plot([x] * len(changes), [100 * change for change in changes], "k.", markersize=3)
    _finish(axes[-1], [line.name for line in trained], "change of held-out loss, %")
    if trained:
        axes[-1].legend(fontsize=8, frameon=False)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _plot_score(axes: Axes, lines: Sequence[Row], name: str) -> None:
    for place, line in enumerate(lines):
        mean, (low, high) = line.scores[name]
        axes.bar(place, mean, color="lightgrey" if line.name == BEFORE else "tab:blue", width=0.6)
        axes.errorbar(place, mean, yerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]], color="black", capsize=4)
        axes.plot([place] * len(line.by_seed[name]), line.by_seed[name], "k.", markersize=4)
        axes.annotate(f"{mean:.1%}", (place, high), (0, 4), textcoords="offset points", ha="center", fontsize=8)
    axes.set_ylim(0, 1.1)
    _finish(axes, [line.name for line in lines], SCORES[name])


def _finish(axes: Axes, names: Sequence[str], title: str) -> None:
    axes.set_xticks(range(len(names)), names, rotation=20 if len(names) > 4 else 0, fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def write_ablation(folder: Path, runs: Sequence[Run], notes: Mapping[str, Any]) -> str:
    """Write `ablation.md`, `.json` and `.png` into a folder; the table.

    Args:
        folder: which there is.
        runs: their figures, in the order to show them in.
        notes: how they were made, for the JSON.
    """
    lines = rows(runs)
    table = markdown(lines)
    content = {**notes, "rows": [asdict(line) for line in lines], "runs": [asdict(run) for run in runs]}
    write_whole(folder / "ablation.json", (json.dumps(content) + "\n").encode())
    write_whole(folder / "ablation.md", table.encode())
    write_whole(folder / "ablation.png", plot(lines))
    return table
