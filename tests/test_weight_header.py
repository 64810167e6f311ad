from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import zeros

from fairhands.weight_header import read_header


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "a LoRA"),
        ("unet.down_blocks.0.attentions.0.proj_in.lora_A.weight", "a LoRA"),
        ("down_blocks.0.attn1.processor.to_q_lora.up.weight", "a LoRA"),
        ("text_encoder.text_model.layers.0.q_proj.lora_linear_layer.up.weight", "a LoRA"),
        ("lora_unet_mid_block.hada_w1_a", "a LoRA"),
        ("lora_unet_mid_block.lokr_w1", "a LoRA"),
        ("lora_controlnet", "a ControlNet"),
        ("controlnet_cond_embedding.conv_in.weight", "a ControlNet"),
        ("control_model.input_hint_block.0.weight", "a ControlNet"),
        ("zero_convs.0.0.weight", "a ControlNet"),
        ("adapter.body.0.resnets.0.block1.weight", "a T2I-Adapter"),
        ("body.0.block1.weight", "a T2I-Adapter"),
        ("body.0.in_conv.weight", "a T2I-Adapter"),
        ("model.body.0.rdb1.conv1.weight", "a safetensors file of another kind (1 tensors, no fairhands.kind)"),
        ("model.diffusion_model.out.2.weight", "a checkpoint of a base model"),
        ("down_blocks.0.resnets.0.conv1.weight", "a U-Net or VAE of a base model"),
    ],
)
def test_a_file_is_known_by_the_names_of_its_tensors(name: str, kind: str, tmp_path: Path) -> None:
    save_file({name: zeros(1)}, tmp_path / "some.safetensors")
    assert read_header(tmp_path / "some.safetensors").guess() == kind


def test_a_controlnet_beside_a_copied_encoder_is_known_as_one(tmp_path: Path) -> None:
    names = ("down_blocks.0.resnets.0.conv1.weight", "controlnet_mid_block.weight", "conv_in.weight")
    save_file({name: zeros(1) for name in names}, tmp_path / "some.safetensors")
    assert read_header(tmp_path / "some.safetensors").guess() == "a ControlNet"
