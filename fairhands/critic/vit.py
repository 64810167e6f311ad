"""The backbone "vit": a frozen vision transformer, built by transformers, whose hidden states are the features.

Its weights go by the names of the hub's own files (`encoder.layer.0.attention.attention.query.weight`), which every
release of transformers reads and writes; the names inside its modules change from release to release.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from .backbone import Backbone
from .config import CriticConfig, Transformer
from .weights import check_finite, digest

if TYPE_CHECKING:
    from typing_extensions import Self

# The classes of transformers for each `model_type`, and what its model is made with.
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "vit": ("ViTConfig", "ViTModel", {"add_pooling_layer": False}),
    "dinov2": ("Dinov2Config", "Dinov2Model", {}),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel", {}),
    "dinov3_vit": ("DINOv3ViTConfig", "DINOv3ViTModel", {}),
}


class TransformerBackbone(Backbone):
    """A frozen vision transformer after StyleGAN-T (arXiv 2301.09515, section 3.2).

    The features are the hidden states at the configuration's `places`, the CLS token added to each patch's token,
    register tokens left out: float [N, hidden size, patches] each. It is always in eval mode and never trained; the
    pictures may carry a gradient. Its weights are random until `fill`.

    Raises:
        ImportError: the installed transformers is too old for it.
        ValueError: no transformer, one that cannot be built, or an `input_size` or a place that it does not have.
    """

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        if config.transformer is None:
            raise ValueError("transformer should be given for the backbone 'vit', found None")
        self.transformer = config.transformer
        self.patches = _patches(config.input_size, self.transformer)
        self.model = _frozen(_new(self.transformer))
        layers = self.model.config.num_hidden_layers
        if not all(0 <= place <= layers for place in self.transformer.places):
            raise ValueError(f"places should be in 0..{layers}, found {self.transformer.places}")
        self.channels = [self.model.config.hidden_size] * len(self.transformer.places)
        native = self.transformer.shape.get("image_size") == config.input_size
        resized = self.transformer.shape["model_type"] == "vit" and not native  # the others do it by themselves
        self._options = {"interpolate_pos_encoding": True} if resized else {}

    def forward(self, pictures: Tensor) -> list[Tensor]:
        mean = pictures.new_tensor(self.transformer.mean)[:, None, None]
        deviation = pictures.new_tensor(self.transformer.deviation)[:, None, None]
        seen = self.model((pictures - mean) / deviation, output_hidden_states=True, **self._options)
        return [self._features(seen.hidden_states[place]) for place in self.transformer.places]

    def _features(self, tokens: Tensor) -> Tensor:
        """Tokens [N, CLS and registers and patches, channels] -> [N, channels, patches]."""
        return (tokens[:, -self.patches :] + tokens[:, :1]).transpose(1, 2)

    def train(self, mode: bool = True) -> "Self":
        """Stay in eval mode, whatever the critic's heads do."""
        return super().train(False)

    def weights(self) -> dict[str, Tensor]:
        """Its weights in half precision, by their names on the hub."""
        return published(self.model)

    def fill(self, weights: Mapping[str, Tensor]) -> None:
        """Take a transformer's weights, by their names on the hub, rounded to half precision.

        So a critic's file, which holds them in half precision, gives back exactly what the heads were trained on.
        They come to the CPU in float32.

        Raises:
            ValueError: they are not this transformer's, by their names, shapes or hash.
        """
        halves = {name: weight.half() for name, weight in weights.items()}
        found = digest(halves)
        if self.transformer.sha256 not in ("", found):
            raise ValueError(f"whose backbone has the hash {found} and not {self.transformer.sha256}")
        check_finite(halves, "backbone.")
        self.model = built(self.transformer, {name: half.float() for name, half in halves.items()})


def built(transformer: Transformer, weights: dict[str, Tensor]) -> PreTrainedModel:
    """A frozen transformer with weights as the hub has them, float32; they become its tensors.

    Raises:
        ValueError: a weight is missing, unknown or of another shape.
    """
    config, model, options = classes(transformer)
    with quiet(), torch.random.fork_rng(devices=[]):
        outcome: Any = model.from_pretrained(
            None,
            config=config,
            state_dict=dict(weights),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            attn_implementation="sdpa",
            **options,
        )
    filled, report = outcome
    _check(report)
    return _frozen(filled)


def published(model: PreTrainedModel) -> dict[str, Tensor]:
    """A transformer's weights as the hub has them: half precision, on the CPU, by name.

    transformers itself knows these names in `save_pretrained` alone, hence the folder.
    """
    halves = {name: weight.detach().cpu().half() for name, weight in model.state_dict().items()}
    with quiet(), tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, state_dict=halves, max_shard_size="100GB")
        return safetensors.torch.load((Path(folder) / "model.safetensors").read_bytes())


def _frozen(model: PreTrainedModel) -> PreTrainedModel:
    """In eval mode, without gradients for its weights, and without its last norm.

    No hidden state needs the last norm, but some releases of transformers (4.56) put it on the last one.
    """
    last_norm = [part for part in model.children() if isinstance(part, nn.LayerNorm)][-1]
    last_norm.register_forward_hook(_pass_by)
    return model.eval().requires_grad_(False)


def _pass_by(_: nn.Module, given: tuple[Tensor, ...], __: Tensor) -> Tensor:
    return given[0]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no reports of transformers: what they say becomes an error or does not matter."""
    verbosity, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bars:
            transformers.logging.enable_progress_bar()


def _patches(input_size: int, transformer: Transformer) -> int:
    patch = transformer.shape.get("patch_size")
    if not isinstance(patch, int) or patch < 1 or input_size % patch:
        raise ValueError(
            f"input_size should be divisible by {patch}, the patch size of {transformer.name}, found {input_size}"
        )
    return (input_size // patch) ** 2


def _new(transformer: Transformer) -> PreTrainedModel:
    config, model, options = classes(transformer)
    config._attn_implementation = "sdpa"
    try:
        return model(config, **options)
    except Exception as error:  # whatever a damaged file's numbers lead to
        raise ValueError(f"transformers cannot build {transformer.name} ({error})") from error


def classes(transformer: Transformer) -> tuple[PretrainedConfig, type[PreTrainedModel], dict[str, Any]]:
    """A transformer's configuration and class in transformers, and what its model is made with.

    Raises:
        ImportError: the installed transformers is too old for it; DINOv3 needs 4.56.
        ValueError: it is none of `FAMILIES`, or a shape that it cannot have.
    """
    kind = transformer.shape.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(f"a transformer's model_type should be one of {', '.join(FAMILIES)}, found {kind!r}")
    config, model, options = FAMILIES[kind]
    if not hasattr(transformers, model):
        found = transformers.__version__
        raise ImportError(f"{transformer.name} needs a newer transformers than {found}: update transformers")
    values = {key: value for key, value in transformer.shape.items() if key != "model_type"}
    try:
        return getattr(transformers, config)(**values), getattr(transformers, model), options
    except Exception as error:  # each release checks its configurations in its own way
        raise ValueError(f"transformers cannot use the shape of {transformer.name} ({error})") from error


def _check(report: dict[str, Any]) -> None:
    for name in sorted(report["missing_keys"]):
        raise ValueError(f"without the tensor backbone.{name}")
    for name in sorted(report["unexpected_keys"]):
        raise ValueError(f"with the unexpected tensor backbone.{name}")
    for name, found, expected in sorted(report["mismatched_keys"]):
        raise ValueError(f"whose tensor backbone.{name} is {list(found)} and not {list(expected)}")
