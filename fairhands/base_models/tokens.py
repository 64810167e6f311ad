"""CLIP's tokens of prompts, without a download."""

import gzip
import json
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from transformers import CLIPTokenizer

log = logging.getLogger(__name__)

MERGES = 49152 - 256 - 2
START, END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(folder: Path | None = None) -> CLIPTokenizer:
    """CLIP's tokenizer: of a folder, or with the vocabulary that the installed open_clip holds.

    Raises:
        ImportError: open_clip is not installed.
    """
    if folder is not None:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    merges = _merges()
    letters = _byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    with TemporaryDirectory() as made:
        (Path(made) / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        (Path(made) / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
        return CLIPTokenizer.from_pretrained(made, local_files_only=True)


def tokens(tokenizer: CLIPTokenizer, prompts: Sequence[str], length: int, padding: int) -> Tensor:
    """Prompts as numbers, int64 [N, length]: start, words, end, padding. What is longer is cut, with a warning."""
    rows = tokenizer(list(prompts), add_special_tokens=True).input_ids
    for prompt, row in zip(prompts, rows, strict=True):
        if len(row) > length:
            log.warning("a prompt of %d tokens is cut to %d: %s", len(row), length, prompt)
    cut = [row if len(row) <= length else [*row[: length - 1], row[-1]] for row in rows]
    return torch.tensor([row + [padding] * (length - len(row)) for row in cut])


def _merges() -> list[tuple[str, str]]:
    """Pairs of word parts that are joined, the first ones first, from open_clip's file.

    The package is not imported, which takes seconds.
    """
    found = find_spec("open_clip")
    if found is None or found.origin is None:
        raise ImportError("CLIP's vocabulary is read from the package open-clip-torch, which is not installed")
    with gzip.open(Path(found.origin).with_name("bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1 : MERGES + 1]
    return [(first, second) for first, second in (line.split() for line in lines)]


def _byte_letters() -> list[str]:
    """A visible letter for each byte, in the vocabulary's order: printable ones first, as themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = len(set(range(256)) - set(printable))
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(others)]
