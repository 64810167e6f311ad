"""kohya's spelling of layers."""

import pytest

from fairhands.adapters.layers import denoiser_layers
from fairhands.adapters.names import kohya, original
from fairhands.base_models.shapes import SD15, SDXL
from fairhands.base_models.single_file import empty_networks
from tests.base_models.checkpoints import on_meta, unet_names

# As published files hold them.
KNOWN = [
    ("SD 1.5", 0, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
     "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"),
    ("SDXL", 0, "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
     "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"),
    ("SDXL", 0, "mid_block.attentions.0.proj_in", "lora_unet_middle_block_1_proj_in"),
    ("SDXL", 0, "up_blocks.1.attentions.2.proj_out", "lora_unet_output_blocks_5_1_proj_out"),
    ("SDXL", 0, "up_blocks.1.upsamplers.0.conv", "lora_unet_output_blocks_5_2_conv"),
    ("SDXL", 0, "down_blocks.0.downsamplers.0.conv", "lora_unet_input_blocks_3_0_op"),
    ("SDXL", 1, "encoder.layers.3.self_attn.q_proj", "lora_te1_text_model_encoder_layers_3_self_attn_q_proj"),
    ("SDXL", 2, "text_model.encoder.layers.3.mlp.fc1", "lora_te2_text_model_encoder_layers_3_mlp_fc1"),
    ("SD 1.5", 1, "encoder.layers.0.mlp.fc2", "lora_te_text_model_encoder_layers_0_mlp_fc2"),
    ("mannequin", 0, "transformer_blocks.2.attn.to_q", "lora_transformer_transformer_blocks_2_attn_to_q"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "part", "path", "expected"), KNOWN)
def test_layers_are_spelled_as_in_published_files(family: str, part: int, path: str, expected: str) -> None:
    assert kohya(path, family, part) == expected


def test_each_layer_of_sdxl_is_found_in_the_original_checkpoint() -> None:
    unet = empty_networks(SDXL)[0]
    known = {
        name.removesuffix(".weight")
        for name in unet_names({key: on_meta(weight) for key, weight in unet.state_dict().items()})
    }
    names = [original(path) for path in denoiser_layers(unet, "SDXL", "all")]
    assert len(set(names)) == len(names)
    assert set(names) <= known


def test_no_two_layers_share_a_name() -> None:
    unet = empty_networks(SD15)[0]
    paths = denoiser_layers(unet, "SD 1.5", "all")
    assert len({kohya(path, "SD 1.5") for path in paths}) == len(paths)


def test_what_lies_outside_the_blocks_has_no_name() -> None:
    with pytest.raises(ValueError, match="conv_in is no layer in the blocks of a U-Net"):
        original("conv_in")
