"""Tiny random vision transformers in folders, as transformers writes them; they stand for the user's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

SHARED = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "layer_norm_eps": 1e-3,
}
FAMILIES = {
    "vit": ("ViT", {"intermediate_size": 40}),
    "dinov2": ("Dinov2", {"mlp_ratio": 2}),
    "dinov2_with_registers": ("Dinov2WithRegisters", {"mlp_ratio": 3, "num_register_tokens": 3}),
    "dinov3_vit": ("DINOv3ViT", {"intermediate_size": 40, "num_register_tokens": 2}),
}
MakeFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def transformer_folder(tmp_path_factory: pytest.TempPathFactory) -> MakeFolder:
    """Gives the folder `tests--NAME` of a random transformer of a family; the same seed gives the same weights."""

    def make(family: str, seed: int = 0) -> Path:
        folder = tmp_path_factory.mktemp("transformers") / f"tests--{family}"
        model = random_model(family, seed)
        model.save_pretrained(folder)
        return folder

    return make


def random_model(family: str, seed: int) -> transformers.PreTrainedModel:
    name, own = FAMILIES[family]
    options = {"add_pooling_layer": False} if family == "vit" else {}
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**SHARED, **own), **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_((torch.randn(weight.shape, generator=generator) * 0.3).half())
    return model.eval()
