import pytest
import torch

from fairhands.mannequin_world.denoiser import new_denoiser
from fairhands.mannequin_world.layout import to_comfyui, to_diffusers


def test_names_there_and_back_give_the_same_weights() -> None:
    torch.manual_seed(0)
    weights = new_denoiser().state_dict()
    back = to_diffusers(to_comfyui(weights))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("convert", [to_comfyui, to_diffusers])
def test_weights_of_something_else_are_refused_by_name(convert) -> None:
    denoiser = new_denoiser().state_dict()
    weights = denoiser if convert is to_comfyui else to_comfyui(denoiser)
    with pytest.raises(KeyError, match="conv_in"):
        convert({**weights, "conv_in.weight": torch.zeros(1)})
