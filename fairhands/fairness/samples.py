"""Sample pictures of a LoRA that is trained on people: the same prompts and noise without and with it."""

from itertools import islice
from pathlib import Path

from pydantic import Field

from ..adapters.lora import LoraAdapter
from ..adapters.samples import Row, along_scales, noise_of, scale_names, write_sheet
from ..base_models import BaseModel, Text
from ..people.people import People
from ..training.configuration import Configuration


class SampleSettings(Configuration):
    """The sheets of sample pictures."""

    prompts: tuple[str, ...] = Field(
        default=(), description="What they show; none: the first captions of the pictures that are held out."
    )
    captions: int = Field(default=3, ge=1, description="How many captions, where no prompts are given.")
    scales: tuple[float, ...] = Field(
        default=(0.0, 1.0), min_length=1, description="Scales of the LoRA, one column for each."
    )
    seeds: int = Field(default=1, ge=0, description="Rows for each prompt; 0: no sheets.")
    steps: int = Field(default=20, ge=1, description="Steps of the sampler.")
    guidance: float = Field(default=5.0, ge=1, description="Classifier-free guidance; 1 is none.")
    negative: str = Field(default="", description="The prompt that guidance leads away from.")


class Samples:
    """Writes the sheets.

    Args:
        base: the base model with the LoRA on it.
        adapter: the LoRA.
        people: whose captions are shown, and which encodes prompts.
        settings: what is shown.
        side: of the pictures, in pixels.
        encodes: whether texts are encoded anew for each sheet, by text encoders that are trained.

    Raises:
        ValueError: the base model does not know a prompt.
    """

    def __init__(
        self,
        base: BaseModel,
        adapter: LoraAdapter,
        people: People,
        settings: SampleSettings,
        side: int,
        encodes: bool = False,
    ) -> None:
        self.base = base
        self.adapter = adapter
        self.settings = settings
        self.side = side
        self.prompts = (settings.prompts or first_captions(people, settings.captions)) if settings.seeds else ()
        texts = (*self.prompts, settings.negative)
        self._kept = None if encodes or not self.prompts else people.text(texts, (side, side)).to(base.device)

    def write(self, path: Path) -> None:
        """Write a sheet, if any is wanted."""
        if not self.prompts:
            return
        texts = self._kept or self.base.encode_text((*self.prompts, self.settings.negative), (self.side, self.side))
        rows = [
            Row(f"{prompt}, seed {seed}", self._pictures(texts[number : number + 1], texts[-1:], seed))
            for number, prompt in enumerate(self.prompts)
            for seed in range(self.settings.seeds)
        ]
        write_sheet(path, rows, scale_names(self.settings.scales))

    def _pictures(self, text: Text, negative: Text, seed: int):
        settings, cells = self.settings, self.side // self.base.cells
        noise = noise_of(seed, (self.base.latent_channels, cells, cells))
        return along_scales(
            self.base, self.adapter, text, negative, noise, settings.scales, settings.steps, settings.guidance
        )


def first_captions(people: People, count: int) -> tuple[str, ...]:
    """Captions of the first pictures that are held out, or of those learnt from where none is; each once."""
    examples = people.held_out if len(people.held_out) else people.training
    captions = (caption for batch in examples.in_order(1) for caption in batch.captions)
    return tuple(dict.fromkeys(islice(captions, count)))
