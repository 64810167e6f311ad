import json
from typing import Any

import pytest
import torch
from comfy_graphs import GraphBuilder

from devtools.client import GraphFailed
from devtools.paths import CHECKPOINT

SAMPLING = {"seed": 7, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
MANNEQUIN_MODEL = "mannequin_model.safetensors"


def told(graph: GraphBuilder, class_type: str, **inputs: Any) -> Any:
    """What a probe tells as JSON."""
    shown = graph.add("PreviewAny", source=[graph.add(class_type, **inputs), 0])
    return json.loads(graph.run().outputs[shown]["text"][0])


def checkpoint_clip(graph: GraphBuilder) -> list[Any]:
    return [graph.add("CheckpointLoaderSimple", ckpt_name=CHECKPOINT.name), 1]


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_the_words_map_has_the_latents_shape_and_leaves_sampling_bit_for_bit(graph: GraphBuilder, cfg: float) -> None:
    sampling = SAMPLING | {"cfg": cfg}
    parts = graph.checkpoint()
    latent = [graph.add("EmptyLatentImage", width=384, height=256, batch_size=2), 0]
    probe = graph.add(
        "ProbeHandWords",
        **{key: parts[key] for key in ("model", "positive", "negative")},
        clip=[parts["model"][0], 1],
        latent_image=latent,
        words="hand, fingers",
        sampling=json.dumps(sampling),
    )
    names = [graph.save([probe, slot]) for slot in range(3)]
    # Sampled after the recorder is gone, from the same loaded weights.
    names.append(graph.save(graph.sample(parts, latent, **sampling)))
    shown = graph.add("PreviewAny", source=[probe, 3])
    report = json.loads(graph.run().outputs[shown]["text"][0])
    recorded, hand_map, mask, plain = (graph.saved(name) for name in names)

    assert torch.equal(recorded, plain)
    assert hand_map.shape == mask.shape == (2, 32, 48)
    assert hand_map.amin((1, 2)).tolist() == [0.0, 0.0]
    assert hand_map.amax((1, 2)).tolist() == [1.0, 1.0]
    assert not torch.equal(hand_map[0], hand_map[1])
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert 0 < mask.mean() <= 0.3
    assert report["context"] == [77, 768]
    # A quarter of the latent is 8 x 12; with CFG both halves of the batch are there.
    assert list(report["shapes"].values()) == [[2 if cfg == 1.0 else 4, 96, 320]] * 4


@pytest.mark.parametrize(
    ("words", "tokens"),
    [
        ("hand", [1]),
        ("hand, fingers", [1, 2, 3]),
        ("(hand:1.3) and [fingers]", [1, 2, 3, 4, 5]),
        (", ".join(["hand"] * 50), [*range(1, 76), *range(78, 102)]),
    ],
)
def test_the_words_are_the_tokens_between_begin_and_end_in_sd15(
    graph: GraphBuilder, words: str, tokens: list[int]
) -> None:
    found = told(graph, "ProbeWordTokens", words=words, clip=checkpoint_clip(graph))
    assert found["tokens"] == tokens
    assert found["context"] == [77 if len(tokens) < 76 else 154, 768]


def test_sdxls_two_tokenizers_agree_on_the_words_and_its_contexts_are_joined(graph: GraphBuilder) -> None:
    found = told(graph, "ProbeWordTokens", words="hand, fingers", architecture="SDXL")
    assert found == {"context": [77, 16 + 24], "tokens": [1, 2, 3], "finite": True}


def test_no_words_are_refused_in_a_sentence(graph: GraphBuilder) -> None:
    with pytest.raises(GraphFailed, match=r"words is ' ', expected one word or more, such as 'hand, fingers'\."):
        told(graph, "ProbeWordTokens", words=" ", clip=checkpoint_clip(graph))


def test_another_text_encoder_is_refused_by_its_name(graph: GraphBuilder) -> None:
    with pytest.raises(GraphFailed, match=r"clip has the text encoders l, t5xxl, expected those of SD1.5 or SDXL"):
        told(graph, "ProbeWordTokens", words="hand", architecture="Flux")


def test_sd15s_modules_are_those_at_a_quarter_and_an_eighth_of_the_latent(graph: GraphBuilder) -> None:
    places = ("input_blocks.7.1", "input_blocks.8.1", "middle_block.1", *(f"output_blocks.{i}.1" for i in (3, 4, 5)))
    assert told(graph, "ProbeWordModules", architecture="SD1.5") == [
        f"{place}.transformer_blocks.0.attn2" for place in places
    ]


def test_sdxls_modules_are_three_blocks_of_each_deep_transformer(graph: GraphBuilder) -> None:
    places = ("input_blocks.7.1", "input_blocks.8.1", "middle_block.1", *(f"output_blocks.{i}.1" for i in (0, 1, 2)))
    assert told(graph, "ProbeWordModules", architecture="SDXL") == [
        f"{place}.transformer_blocks.{block}.attn2" for place in places for block in (2, 5, 9)
    ]


def test_a_video_model_and_sd3_have_none(graph: GraphBuilder) -> None:
    sd3 = graph.add("CheckpointLoaderSimple", ckpt_name=MANNEQUIN_MODEL)
    assert told(graph, "ProbeWordModules", model=[sd3, 0]) == []
    assert told(graph, "ProbeWordModules", architecture="video") == []
