"""A slider's training put together: prompts, where it is learnt at, losses and sample sheets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from torch import Tensor, nn

from ..adapters.lora import LoraAdapter
from ..adapters.samples import Row, along_scales, noise_of, scale_names, write_sheet
from ..base_models import BaseModel
from ..data.problems import Problems
from ..training.draw import Draw
from ..training.loop import Losses
from .checks import check_sizes
from .entries import Entries, Entry, Example
from .loss import Start, prompts_of, slider_losses
from .pictures import latents_of, picture_files
from .reservoir import Reservoir
from .settings import SampleSettings, Settings
from .starts import Denoised, Noised, Sampling, Starts
from .texts import Texts

log = logging.getLogger(__name__)


class Slider:
    """What is trained of a slider and how, for one base model.

    The texts are encoded here, after which the base model's text encoders are let go.

    Args:
        base: the base model.
        adapter: the LoRA on it.
        settings: all that is chosen.
        base_mark: what tells the base model from others, such as its fingerprint.

    Raises:
        ValueError: the base model does not know a prompt, or cannot make pictures of that size.
    """

    def __init__(self, base: BaseModel, adapter: LoraAdapter, settings: Settings, base_mark: str) -> None:
        self.base = base
        self.adapter = adapter
        self.settings = settings
        self.entries = Entries(settings.pairs, base.resolution, settings.attributes)
        check_sizes(self.entries.all(), base)
        self.shown = _shown(self.entries, settings.samples, base.resolution)
        self.texts = Texts(base, self._wanted())
        base.text_encoders = ()
        self.starts = self._starts(base_mark)

    def losses(self, draw: Draw) -> Losses:
        """The losses of a pass."""
        examples = self.entries.examples(draw)
        start = self.starts.start(examples, draw)
        return slider_losses(self.base, self.adapter, start, prompts_of(examples, self.texts, self.base.device))

    def write_samples(self, path: Path) -> None:
        """Write the sheet of sample pictures, if any are wanted."""
        samples = self.settings.samples
        rows = [self._row(prompt, side, seed) for prompt, side in self.shown for seed in range(samples.seeds)]
        if rows:
            write_sheet(path, rows, scale_names(samples.scales))

    def _row(self, prompt: str, side: int, seed: int) -> Row:
        samples = self.settings.samples
        text, negative = (self.texts.of([words], side) for words in (prompt, samples.negative))
        noise = noise_of(seed, (self.base.latent_channels, side // self.base.cells, side // self.base.cells))
        scales, steps, guidance = samples.scales, samples.steps, samples.guidance
        pictures = along_scales(self.base, self.adapter, text, negative, noise, scales, steps, guidance)
        return Row(f"{prompt}, seed {seed}", pictures)

    def _wanted(self) -> set[tuple[str, int]]:
        of_entries = {(prompt, entry.resolution) for entry in self.entries.all() for prompt in entry.prompts}
        return of_entries | {(words, side) for prompt, side in self.shown for words in (prompt, self._negative)}

    @property
    def _negative(self) -> str:
        return self.settings.samples.negative

    def _starts(self, base_mark: str) -> Starts:
        settings, start = self.settings, self.settings.start
        if start.kind == "pictures" and start.pictures is not None:
            files = picture_files(start.pictures, Problems())
            cached = partial(_latents, files, self.base, base_mark, settings.output)
            return Noised(self.base, start.steps, cache(cached))
        sampling = Sampling(self.base, self.adapter, self.texts, start.steps, start.guidance, start.away)
        if start.kind == "denoised":
            return Denoised(sampling)
        return BySide(
            self.entries.all(),
            lambda entries: Reservoir(sampling, entries, start.reservoir_size, start.refresh, settings.seed),
        )


class BySide(Starts):
    """Starts of their own for each resolution among the entries."""

    def __init__(self, entries: Sequence[Entry], new: Callable[[Sequence[Entry]], Starts]) -> None:
        super().__init__()
        sides = sorted({entry.resolution for entry in entries})
        of_side = {side: [entry for entry in entries if entry.resolution == side] for side in sides}
        self.of_side = nn.ModuleDict({str(side): new(of_side[side]) for side in sides})

    def start(self, examples: Sequence[Example], draw: Draw) -> Start:
        starts = self.of_side[str(examples[0].entry.resolution)]
        assert isinstance(starts, Starts)
        return starts.start(examples, draw)


def _latents(files: Sequence[Path], base: BaseModel, base_mark: str, output: Path, side: int) -> Tensor:
    problems = Problems()
    latents = latents_of(files, base, base_mark, side, output / f"pictures_{side}.pt", problems)
    if problems.lines:
        log.warning("%d of %d pictures were left out", len(problems.lines), len(files))
    return latents


def _shown(entries: Entries, samples: SampleSettings, resolution: int) -> list[tuple[str, int]]:
    """Prompts of sample pictures, each with the side of its pictures."""
    if samples.prompts:
        return [(prompt, resolution) for prompt in samples.prompts]
    return list(dict.fromkeys((pair[0].target, pair[0].resolution) for pair in entries.pairs))
