"""Models that estimate depth: Depth Anything, DPT and others of transformers."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from PIL.Image import Image
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

DepthEstimator = Callable[[Image], np.ndarray]
Near = Literal["auto", "large", "small"]

# Kinds of models that tell distances; others tell their inverse, large where it is near, unless they say otherwise.
TELL_DISTANCE = ("zoedepth", "glpn", "depth_pro", "prompt_depth_anything")
SHORTEST = 1e-3


class DepthModelError(ValueError):
    """A model that cannot be had, or that estimates no depth; its text is one sentence."""


def depth_estimator(
    name_or_folder: str, near: Near = "auto", device: torch.device | str = "cpu", allow_download: bool = False
) -> DepthEstimator:
    """A function that tells how near each pixel of a picture is, float32 [H, W], large where it is near, in any unit.

    Args:
        name_or_folder: a folder as transformers saves a model with its image processor, or a name on the hub.
        near: whether the model's own values are large or small for what is near; auto goes by the model's kind.
        device: where it computes; in half precision on a GPU.
        allow_download: whether a name may be fetched from the hub; without, it is read where it was fetched before.

    Raises:
        DepthModelError: there is no such model here, or it is of another kind.
    """
    device = torch.device(device)
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    processor, model = _read(name_or_folder, dtype, allow_download)
    model = model.to(device).eval()
    distances = _tells_distance(model.config) if near == "auto" else near == "small"

    @torch.inference_mode()
    def estimate(picture: Image) -> np.ndarray:
        inputs = processor(images=picture, return_tensors="pt").to(device, dtype)
        # The size's parameter has another name in some processors, but this place in all.
        (found,) = processor.post_process_depth_estimation(model(**inputs), [(picture.height, picture.width)])
        depth = found["predicted_depth"].float().cpu().squeeze()
        return (_nearness(depth) if distances else depth).numpy()

    return estimate


def depth_picture(nearness: np.ndarray) -> np.ndarray:
    """How near things are, [H, W], as grey of a picture, uint8 RGB [H, W, 3]: the nearest white, the furthest black.

    Raises ValueError where a value is not finite.
    """
    low, high = float(nearness.min()), float(nearness.max())
    if not np.isfinite(high - low):
        raise ValueError("the depth is not finite everywhere")
    grey = (nearness.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.rint(grey * 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def _nearness(distance: torch.Tensor) -> torch.Tensor:
    """The inverse of distances, which are taken as a thousandth of the largest at least."""
    least = (distance.max() * SHORTEST).clamp(min=torch.finfo(torch.float32).tiny)
    return 1 / distance.clamp(min=least)


def _tells_distance(config: Any) -> bool:
    return config.model_type in TELL_DISTANCE or getattr(config, "depth_estimation_type", "") == "metric"


def _read(name: str, dtype: torch.dtype, allow_download: bool) -> tuple[Any, Any]:
    try:
        processor = AutoImageProcessor.from_pretrained(name, local_files_only=not allow_download)
        model = AutoModelForDepthEstimation.from_pretrained(
            name, local_files_only=not allow_download, use_safetensors=True, torch_dtype=dtype
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        hint = "" if allow_download else "; a name on the hub is only fetched where that is allowed"
        raise DepthModelError(
            f"{name} is no model here that estimates depth, expected a folder with one and its image processor{hint}: "
            f"{reason}"
        ) from error
    if not hasattr(processor, "post_process_depth_estimation"):
        raise DepthModelError(f"{name} has a {type(processor).__name__}, which knows nothing of depth.")
    return processor, model
