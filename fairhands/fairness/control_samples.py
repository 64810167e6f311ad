"""Sample pictures of a ControlNet or T2I-Adapter that is trained on people, beside what it is shown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from ..adapters.samples import Row, noise_of, write_sheet
from ..base_models import BaseModel, Text
from ..base_models.model import Predict
from ..people.people import People
from ..training.configuration import Configuration

PredictShown = Callable[[Tensor, Tensor, Text, Tensor], Tensor]
"""Gives predictions as `Control.predict` does: of noised latents, their times and texts, and the pictures shown."""


class ControlSampleSettings(Configuration):
    """The sheets of sample pictures."""

    pictures: int = Field(
        default=4, ge=1, description="How many are shown to the network, with their captions: the first held-out ones."
    )
    seeds: int = Field(default=1, ge=0, description="Rows for each; 0: no sheets.")
    steps: int = Field(default=20, ge=1, description="Steps of the sampler.")
    guidance: float = Field(default=5.0, ge=1, description="Classifier-free guidance; 1 is none.")
    negative: str = Field(default="", description="The prompt that guidance leads away from.")


@dataclass(frozen=True)
class Example:
    """What one row is made of: a caption, its text and the negative one, and the picture shown, [1, 3, H, W]."""

    caption: str
    texts: Text
    conditioning: Tensor


class ControlSamples:
    """Writes the sheets.

    Args:
        base: the base model.
        predict: its predictions with the network.
        people: whose captions and pictures are shown, those held out if any are; it encodes their texts here.
        settings: what is shown.
        kind: what the pictures show, such as "pose".
    """

    def __init__(
        self, base: BaseModel, predict: PredictShown, people: People, settings: ControlSampleSettings, kind: str
    ) -> None:
        self.base = base
        self.predict = predict
        self.settings = settings
        self.columns = (kind, "without", "with")
        self.examples = list(islice(_examples(people, settings.negative), settings.pictures)) if settings.seeds else []

    @torch.no_grad()
    def write(self, path: Path) -> None:
        """Write a sheet, if any is wanted: for each example and seed what is shown, and the same noise sampled without
        the network and with it."""
        rows = [
            Row(f"{example.caption}, seed {seed}", self._pictures(example, seed))
            for example in self.examples
            for seed in range(self.settings.seeds)
        ]
        if rows:
            write_sheet(path, rows, self.columns)

    def _pictures(self, example: Example, seed: int) -> Tensor:
        base, settings = self.base, self.settings
        shown = example.conditioning.to(base.device)
        texts = example.texts.to(base.device)
        height, width = (side // base.cells for side in shown.shape[-2:])
        noise = noise_of(seed, (base.latent_channels, height, width)).to(base.device)

        def predict(noised: Tensor, times: Tensor, text: Text) -> Tensor:
            return self.predict(noised, times, text, shown)

        ways: tuple[Predict, ...] = (base.predict, predict)
        latents = [
            base.sample(texts[:1], texts[1:], noise, settings.steps, settings.guidance, predict=way) for way in ways
        ]
        return torch.cat([shown.cpu(), *(base.decode(latent).cpu() for latent in latents)])


def _examples(people: People, negative: str) -> Iterator[Example]:
    pictures = people.held_out if len(people.held_out) else people.training
    for batch in pictures.in_order(1):
        assert batch.conditioning is not None
        height, width = batch.conditioning.shape[-2:]
        yield Example(
            batch.captions[0], people.text([batch.captions[0], negative], (height, width)), batch.conditioning
        )
