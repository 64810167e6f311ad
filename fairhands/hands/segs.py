"""The mask of SEGS: what other packs' detectors give, a cut-out mask with its place for each thing found."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def mask_of_segs(segs: Any) -> Tensor:
    """The mask of all that was found, float [1, H, W] in 0..1.

    Args:
        segs: ((H, W), items): the picture's size, and for each thing found `cropped_mask`, [h, w] in 0..1, an array
            or tensor, and `crop_region`, the pixels left, top, right and bottom where it belongs.

    Raises:
        ValueError: it is something else, or a mask does not fit its place.
    """
    (height, width), items = _parts(segs)
    whole = np.zeros((height, width), np.float32)
    for item in items:
        left, top, right, bottom = (int(side) for side in item.crop_region)
        mask = np.asarray(item.cropped_mask, np.float32)
        if mask.shape != (bottom - top, right - left):
            raise ValueError(
                f"segs: expected a mask of {right - left} x {bottom - top} pixels for the region {item.crop_region}, "
                f"found one of the shape {mask.shape}."
            )
        area = whole[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        inside = mask[max(-top, 0) :, max(-left, 0) :][: area.shape[0], : area.shape[1]]
        np.maximum(area, inside.clip(0, 1), out=area)
    return torch.from_numpy(whole)[None]


def _parts(segs: Any) -> tuple[tuple[int, int], Sequence[Any]]:
    try:
        (height, width), items = segs
        size = int(height), int(width)
        known = all(hasattr(item, "cropped_mask") and hasattr(item, "crop_region") for item in items)
    except (TypeError, ValueError) as error:
        raise _not_segs(segs) from error
    if not known:
        raise _not_segs(segs)
    return size, items


def _not_segs(found: Any) -> ValueError:
    return ValueError(
        f"segs: expected the picture's size and a list of masks with their regions, found {type(found).__name__}: "
        "connect a detector's SEGS."
    )
