from pathlib import Path

import torch

from fairhands.critic import CriticConfig
from fairhands.critic.training.mannequin_pairs import MALFORMED
from fairhands.critic.training.studio_pairs import STUDIO_MALFORMED, studio_pairs
from fairhands.mannequin_world import file

MODEL = Path(__file__).parents[3] / "weights" / "checkpoints" / "mannequin_model.safetensors"
CONFIG = CriticConfig(input_size=32)


def test_pairs_are_drawn_alike_and_the_kinds_take_turns() -> None:
    hands = studio_pairs(0, 5, CONFIG, None, 2, (0.1, 0.7), workers=0)
    assert hands.pairs.shape == (5, 2, 3, 32, 32)
    assert [MALFORMED[kind] for kind in hands.kinds] == [*STUDIO_MALFORMED, STUDIO_MALFORMED[0]]
    assert all(not torch.equal(right, malformed) for right, malformed in hands.pairs)


def test_estimates_look_like_their_pictures_and_less_so_with_more_noise() -> None:
    model = file.read(MODEL)
    errors = []
    for level in (0.05, 0.9):
        pairs = studio_pairs(0, 4, CONFIG, model, 1, (level, level), workers=0).pairs.float()
        drawn, estimated = pairs.chunk(2)
        errors.append(float((drawn - estimated).abs().mean()))
    assert errors[0] < 12
    assert errors[0] < errors[1]
