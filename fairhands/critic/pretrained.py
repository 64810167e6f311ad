"""Where a critic's frozen transformer comes from: a folder of the user's, a file, or the hub and its local cache."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor
from transformers.utils.hub import cached_file

from .config import IMAGENET_DEVIATION, IMAGENET_MEAN, Transformer
from .vit import FAMILIES, built, classes, published, quiet
from .weights import digest

SHORT_NAMES = {
    "dino_vits16": "facebook/dino-vits16",
    "dino_vitb16": "facebook/dino-vitb16",
    "dinov2_small": "facebook/dinov2-small",
    "dinov2_base": "facebook/dinov2-base",
    "dinov3_vits16": "facebook/dinov3-vits16-pretrain-lvd1689m",
}
DEFAULT = "dino_vits16"
Colour = tuple[float, float, float]
FEATURE_MAPS = 5  # after the embeddings, and after each quarter of the blocks

# What of transformers' configurations changes the weights or what is computed with them.
SHAPE = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "mlp_ratio"),
    *("hidden_act", "layer_norm_eps", "image_size", "patch_size", "num_channels", "num_register_tokens"),
    *("qkv_bias", "query_bias", "key_bias", "value_bias", "proj_bias", "mlp_bias"),
    *("use_swiglu_ffn", "use_gated_mlp", "use_mask_token", "rope_theta"),
)


def pretrained(name: str = DEFAULT, allow_download: bool = False) -> tuple[Transformer, dict[str, Tensor]]:
    """A pretrained vision transformer for a critic to look with.

    Args:
        name: one of `SHORT_NAMES`, a name on the hub, or a local folder as `save_pretrained` writes it.
        allow_download: ask the hub; otherwise only its local cache is looked into.

    Returns:
        What a `CriticConfig` says about it, and its weights in half precision for `TransformerBackbone.fill`.

    Raises:
        ValueError: it cannot be had or is no such transformer; one sentence that says what to do.
    """
    folder = Path(name).expanduser()
    source = str(folder) if folder.is_dir() else SHORT_NAMES.get(name, name)
    known_as = folder.resolve().name.replace("--", "/") if folder.is_dir() else source
    shape = _shape(source, allow_download)
    mean, deviation = _colours(source, allow_download)
    layers = shape["num_hidden_layers"]
    places = tuple(layers * number // (FEATURE_MAPS - 1) for number in range(FEATURE_MAPS))
    transformer = Transformer(known_as, shape, places, mean, deviation)
    weights = _weights(source, transformer, allow_download)
    return replace(transformer, sha256=digest(weights)), weights


def find(transformer: Transformer, folders: Sequence[Path]) -> dict[str, Tensor]:
    """The weights of the transformer that a critic was trained with, by their hash.

    Args:
        transformer: what the critic's file says about it.
        folders: looked into in order for its name with `--` for `/`, a folder or a .safetensors file; then the
            hub's local cache. Nothing is downloaded.

    Returns:
        Its weights in half precision, by their names on the hub.

    Raises:
        ValueError: no such transformer is there, or only ones with another hash; a sentence that says what to do.
    """
    others = []
    for place in [*_named(transformer, folders), transformer.name]:
        try:
            weights = _read(place, transformer)
        except ValueError as error:
            if place != transformer.name:  # the cache is a last resort, a file with the name is meant
                others.append(str(error))
            continue
        if digest(weights) == transformer.sha256:
            return weights
        others.append(f"{place} has other weights, of the hash {digest(weights)}")
    raise ValueError(
        f"its backbone {transformer.name} (sha256 {transformer.sha256}) is neither in "
        f"{' or '.join(str(folder) for folder in folders)} nor in the hub's local cache"
        f"{''.join(f'; {other}' for other in others)}: put it there as the folder or .safetensors file "
        f"{transformer.name.replace('/', '--')}, or save the discriminator with its backbone"
    )


def licence_of(name: str) -> str:
    """What is known about the licence of a transformer, by its name on the hub."""
    if name.startswith("facebook/dinov3"):
        return "DINOv3 License"
    if name.startswith(("facebook/dino-", "facebook/dinov2")):
        return "Apache-2.0"
    return "unknown; see where it comes from"


def _named(transformer: Transformer, folders: Sequence[Path]) -> list[Path]:
    """The folders and files with the transformer's name."""
    candidates = []
    for folder in folders:
        as_folder = folder / transformer.name.replace("/", "--")
        candidates += [as_folder, as_folder.with_name(f"{as_folder.name}.safetensors")]
    return [path for path in candidates if path.exists()]


def _read(place: Path | str, transformer: Transformer) -> dict[str, Tensor]:
    """Weights from a folder, a file, or under a name from the hub's local cache."""
    if isinstance(place, str) or place.is_dir():
        return _weights(str(place), transformer, allow_download=False)
    try:
        weights = {name: weight.float() for name, weight in safetensors.torch.load_file(place).items()}
        return published(built(transformer, weights))
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{place} cannot be read as its weights ({error})") from error


def _shape(source: str, allow_download: bool) -> dict[str, Any]:
    """What a folder or the hub says about a transformer's shape, with transformers' defaults for the rest."""
    try:
        said, _ = transformers.PretrainedConfig.get_config_dict(source, local_files_only=not allow_download)
    except (OSError, ValueError) as error:
        raise ValueError(_missing(source, allow_download, error)) from error
    kind = said.get("model_type")
    if kind is None:
        raise ValueError(_missing(source, allow_download, "no model_type"))
    if kind not in FAMILIES:
        raise ValueError(f"{source} is a model of the type {kind!r}, expected one of {', '.join(FAMILIES)}")
    try:
        config, _, _ = classes(Transformer(source, {key: said[key] for key in SHAPE if key in said}))
    except ImportError as error:
        raise ValueError(str(error)) from error
    whole = config.to_dict()
    return {key: whole[key] for key in SHAPE if whole.get(key) is not None}


def _weights(source: str, transformer: Transformer, allow_download: bool) -> dict[str, Tensor]:
    """The weights of a folder or of the hub; a pooler or a classifier that is there too is left out."""
    _, model, options = classes(transformer)
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            outcome: Any = model.from_pretrained(
                source, local_files_only=not allow_download, output_loading_info=True, **options
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(_missing(source, allow_download, error)) from error
    whole, report = outcome
    for name in sorted(report["missing_keys"]):
        raise ValueError(f"{source} is a {transformer.shape['model_type']} without the weights {name}")
    return published(whole)


def _missing(source: str, allow_download: bool, found: Exception | str) -> str:
    reason = str(found).split("\n", maxsplit=1)[0]
    if Path(source).is_dir():
        return f"the folder {source} should hold a transformer's config.json and model.safetensors ({reason})"
    tried = "could not be downloaded from the hub" if allow_download else "is not in the hub's local cache"
    advice = "check its name and the connection" if allow_download else "allow the download (download = true)"
    return (
        f"the backbone {source} is no local folder and {tried} ({reason}): {advice}, or get config.json and "
        f"model.safetensors from https://huggingface.co/{source} and give the folder that they are in"
    )


def _colours(source: str, allow_download: bool) -> tuple[Colour, Colour]:
    """Mean and deviation of the colours that it was trained with; ImageNet's where it does not say."""
    try:
        file = cached_file(source, "preprocessor_config.json", local_files_only=not allow_download)
    except OSError:  # transformers' way to say that it is not there
        return IMAGENET_MEAN, IMAGENET_DEVIATION
    said = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    return said.get("image_mean", IMAGENET_MEAN), said.get("image_std", IMAGENET_DEVIATION)
