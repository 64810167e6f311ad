"""Pairs of studio hands for a critic that is to guide the mannequin model: finished, and as the model estimates them.

While it guides, a critic judges clean estimates, which are blurrier the earlier they are; so it is trained on such.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ...data.mannequin import RIGHT, STUDIO_KINDS, draw
from ...hands.crops import square_crops
from ...mannequin_world import file
from ...mannequin_world.estimates import clean_estimates
from ...mannequin_world.prompts import HAND, encode
from ..config import CriticConfig
from .mannequin_pairs import MALFORMED

STUDIO_MALFORMED = tuple(kind for kind in STUDIO_KINDS if kind != RIGHT)
_SIZE = 128
_AT_ONCE = 16


class Hands(NamedTuple):
    """Pairs of crops: uint8 [P, 2, 3, S, S], the right hand first; the kinds [P], places in `MALFORMED`."""

    pairs: Tensor
    kinds: Tensor


class _Scenes(Dataset[tuple[Tensor, Tensor, int]]):
    """Whole pictures of a pair [2, 3, 128, 128], their hands' boxes [2, 4], the kind; the kinds take turns."""

    def __init__(self, first_seed: int, count: int) -> None:
        self.first_seed = first_seed
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int]:
        malformed = STUDIO_MALFORMED[number % len(STUDIO_MALFORMED)]
        drawn = [draw(self.first_seed + number, _SIZE, kind=kind, studio=True) for kind in (RIGHT, malformed)]
        pictures = torch.stack([torch.from_numpy(scene.picture).permute(2, 0, 1) for scene in drawn])
        boxes = torch.tensor([scene.boxes[0] for scene in drawn])
        return pictures, boxes, MALFORMED.index(malformed)


def studio_pairs(
    first_seed: int,
    count: int,
    config: CriticConfig,
    model: file.Model | None,
    estimates: int,
    levels: tuple[float, float],
    workers: int,
) -> Hands:
    """Crops of `count` pairs as they were drawn, and `estimates` times as often as the model estimates them.

    Args:
        first_seed: the seed of the first pair's scene, and of the noise.
        count: how many pairs are drawn.
        config: of the critic, for the crops' size and margin.
        model: the mannequin model; None for drawn pictures only.
        estimates: how many of each pair, at noise levels drawn evenly between `levels`.
        levels: lowest and highest noise level, in 0..1.
        workers: processes that draw.
    """
    generator = torch.Generator().manual_seed(first_seed)
    pairs, kinds = [], []
    loader = DataLoader(_Scenes(first_seed, count), batch_size=_AT_ONCE, num_workers=workers)
    for pictures, boxes, kind in tqdm(loader, desc="drawing and estimating hands", unit="batch"):
        pairs.append(_crops(pictures / 255, boxes, config))
        kinds.append(kind)
        if model is None:
            continue
        for _ in range(estimates):
            level = levels[0] + (levels[1] - levels[0]) * torch.rand(len(pictures), generator=generator)
            pairs.append(_crops(_estimated(model, pictures / 255, level, generator), boxes, config))
            kinds.append(kind)
    return Hands(torch.cat(pairs), torch.cat(kinds))


def _estimated(model: file.Model, pictures: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """The pairs [P, 2, 3, S, S] as the model estimates them; both of a pair with the same noise."""
    side = _SIZE // 8
    noise = torch.randn(len(pictures), 1, 16, side, side, generator=generator).expand(-1, 2, -1, -1, -1).flatten(0, 1)
    estimates = clean_estimates(
        model.denoiser, model.autoencoder, pictures.flatten(0, 1), noise, level.repeat_interleave(2), encode(HAND)
    )
    return estimates.view_as(pictures)


def _crops(pictures: Tensor, boxes: Tensor, config: CriticConfig) -> Tensor:
    crops = [
        square_crops(picture, [(box[0], box[1], box[2], box[3])], config.input_size, config.margin)
        for picture, box in zip(pictures.flatten(0, 1), boxes.flatten(0, 1).tolist(), strict=True)
    ]
    return torch.cat(crops).mul(255).round().clamp(0, 255).to(torch.uint8).unflatten(0, (-1, 2))
