"""What a hand discriminator's file says about itself, in a few lines for people."""

from collections.abc import Mapping
from typing import Any

from .config import CriticConfig

LONGEST = 120
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
        "licence": _shown(licence),
    }
    return "\n".join(f"{name}: {line or UNKNOWN}" for name, line in lines.items())


def _network(config: CriticConfig) -> str:
    looks_with = f" ({config.transformer.name})" if config.transformer else ""
    encoder = config.text_encoder or f"{config.text_dimension} numbers"
    texts = f"with texts of {encoder}" if config.text_dimension else "without texts"
    return _shown(f"{config.backbone}{looks_with}, {config.input_size} px, judges {texts}")


def _training(summary: Mapping[str, Any]) -> str:
    parts = [_shown(summary.get("data"))]
    parts += [f"{name} {summary[name]}" for name in ("steps", "seed") if _is_number(summary.get(name))]
    return _shown(", ".join(part for part in parts if part))


def _figures(held_out: Any) -> str:
    if not isinstance(held_out, Mapping):
        return ""
    figures = {title: held_out.get(name) for name, title in FIGURES.items()}
    return ", ".join(f"{title} {figure:.3f}" for title, figure in figures.items() if _is_share(figure))


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A value in one line that is not too long; of a mapping what is a text or a number in it."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {some}" for key, some in value.items() if isinstance(some, str) or _is_number(some))
    elif isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    line = " ".join(str(value if value is not None else "").split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
