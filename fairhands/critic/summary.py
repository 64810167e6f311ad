"""What a hand discriminator's file says about itself, in a few lines for people."""

from collections.abc import Mapping
from typing import Any

from ..one_line import is_number, one_line
from .config import CriticConfig

FIGURES = {"accuracy": "accuracy", "auc": "AUC"}
UNKNOWN = "unknown"


def readable(config: CriticConfig, summary: Mapping[str, Any], licence: str) -> str:
    """Four lines: the network, its training, its held-out figures, its licence.

    `summary`: as the file's trainer wrote it; whatever is missing or of another form is left out or called unknown.
    """
    lines = {
        "network": _network(config),
        "trained on": _training(summary),
        "held out": _figures(summary.get("held_out")),
        "licence": one_line(licence),
    }
    return "\n".join(f"{name}: {line or UNKNOWN}" for name, line in lines.items())


def _network(config: CriticConfig) -> str:
    looks_with = f" ({config.transformer.name})" if config.transformer else ""
    encoder = config.text_encoder or f"{config.text_dimension} numbers"
    texts = f"with texts of {encoder}" if config.text_dimension else "without texts"
    return one_line(f"{config.backbone}{looks_with}, {config.input_size} px, judges {texts}")


def _training(summary: Mapping[str, Any]) -> str:
    parts = [one_line(summary.get("data"))]
    parts += [f"{name} {summary[name]}" for name in ("steps", "seed") if is_number(summary.get(name))]
    return one_line(", ".join(part for part in parts if part))


def _figures(held_out: Any) -> str:
    if not isinstance(held_out, Mapping):
        return ""
    figures = {title: held_out.get(name) for name, title in FIGURES.items()}
    return ", ".join(f"{title} {figure:.3f}" for title, figure in figures.items() if _is_share(figure))


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1
