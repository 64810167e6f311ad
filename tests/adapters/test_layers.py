"""Which layers are chosen."""

import pytest
from torch import nn

from fairhands.adapters.layers import denoiser_layers, text_encoder_layers
from fairhands.base_models.shapes import SD15, SDXL
from fairhands.base_models.single_file import empty_networks
from fairhands.mannequin_world.denoiser import new_denoiser
from tests.adapters.bases import CHOICES


@pytest.fixture(scope="module")
def denoisers() -> dict[str, nn.Module]:
    return {"SD 1.5": empty_networks(SD15)[0], "SDXL": empty_networks(SDXL)[0], "mannequin": new_denoiser()}


# 16 transformer blocks in SD 1.5 and 70 in SDXL, each with two attentions of four layers and two more layers. Besides,
# 16 and 11 pairs around these, 22 and 17 residual blocks of three layers with 14 and 11 shortcuts, 6 and 4 samplers.
@pytest.mark.parametrize(
    ("family", "attention", "cross", "every"),
    [("SD 1.5", 128, 64, 278), ("SDXL", 560, 280, 788), ("mannequin", 23, 11, 39)],
)
def test_the_choices_count_as_many_layers_as_the_architecture_has(
    denoisers: dict[str, nn.Module], family: str, attention: int, cross: int, every: int
) -> None:
    found = {choice: denoiser_layers(denoisers[family], family, choice) for choice in CHOICES}
    assert len(found["attention"]) == attention
    assert len(found["cross_attention"]) == cross
    assert len(found["all"]) == every
    assert set(found["cross_attention"]) < set(found["attention"]) < set(found["all"])
    assert set(found["no_cross_attention"]) == set(found["all"]) - set(found["cross_attention"])


@pytest.mark.parametrize(("family", "width"), [("SD 1.5", 768), ("SDXL", 2048)])
def test_cross_attention_takes_its_keys_and_values_from_the_text(
    denoisers: dict[str, nn.Module], family: str, width: int
) -> None:
    network = denoisers[family]
    for choice in CHOICES:
        layers = [network.get_submodule(path) for path in denoiser_layers(network, family, choice)]
        reading = [layer for layer in layers if isinstance(layer, nn.Linear) and layer.in_features == width]
        # A quarter each of an attention's layers: queries, keys, values, and what comes out.
        cross = len(denoiser_layers(network, family, "cross_attention"))
        assert len(reading) == (0 if choice == "no_cross_attention" else cross // 2)


@pytest.mark.parametrize("family", ["SD 1.5", "SDXL"])
def test_all_has_the_convolutions_of_the_blocks_and_not_the_first_and_last_ones(
    denoisers: dict[str, nn.Module], family: str
) -> None:
    network = denoisers[family]
    convolutions = {name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    chosen = set(denoiser_layers(network, family, "all"))
    assert convolutions - chosen == {"conv_in", "conv_out"}
    assert not convolutions & set(denoiser_layers(network, family, "attention"))
    assert not any("time_embedding" in name or "add_embedding" in name for name in chosen)


def test_a_text_encoder_has_its_attention_or_all_of_its_blocks() -> None:
    (_, _, (encoder,)) = empty_networks(SD15)
    for choice, layers in {"attention": 4, "cross_attention": 4, "no_cross_attention": 6, "all": 6}.items():
        assert len(text_encoder_layers(encoder, choice)) == 12 * layers
