from pathlib import Path

import pytest
import torch

from fairhands.critic import CriticConfig
from fairhands.critic.training.pairs import UNKNOWN
from fairhands.critic.training.prepared_pairs import PreparedPairs, is_held_out
from fairhands.data.prepared import PreparedHands
from fairhands.hands.crops import square_crops
from tests.made.prepared_hands import make_prepared_hands

CONFIG = CriticConfig(input_size=32, margin=0.1)
SHARE = 0.5
IN, OUT = (next(f"p{n}" for n in range(100) if is_held_out(f"p{n}", SHARE) is side) for side in (False, True))


def pairs_of(folder, held_out: bool = False) -> PreparedPairs:
    return PreparedPairs([PreparedHands(folder)], CONFIG, held_out, SHARE)


def test_real_and_generated_hands_of_a_caption_go_together_finished_or_estimated_alike(tmp_path: Path) -> None:
    folder = make_prepared_hands(
        tmp_path / "hands",
        (IN, "real", 0, "a"),
        (IN, "real", 0, "a"),
        (IN, "fake", 0, "a"),
        (IN, "fake", 0, "a"),
        (IN, "real", 300, "a"),
        (IN, "fake", 500, "a"),
        ("alone", "real", 0, "b"),
        (IN, "fake", 0, "a"),
    )
    pairs = pairs_of(folder)
    rows = {(pairs.rows(pair, pick)) for pair in range(len(pairs)) for pick in range(6)}
    assert rows == {(real, fake) for real in (0, 1) for fake in (2, 3, 7)} | {(4, 5)}
    assert [pairs.rows(pair, 0) for pair in range(len(pairs)) if pairs.is_estimate(pair)] == [(4, 5)]
    assert {pairs.kind(pair) for pair in range(len(pairs))} == {UNKNOWN}


def test_a_pair_is_on_one_side_and_stays_there(tmp_path: Path) -> None:
    folder = make_prepared_hands(
        tmp_path / "hands", *((pair, kind, 0, "") for pair in (IN, OUT) for kind in ("real", "fake"))
    )
    assert [pairs_of(folder).rows(0, 0), pairs_of(folder, held_out=True).rows(0, 0)] == [(0, 1), (2, 3)]
    shares = [is_held_out(str(number), 0.1) for number in range(5000)]
    assert sum(shares) / 5000 == pytest.approx(0.1, abs=0.02)
    assert all(is_held_out(str(number), 0.3) for number in range(5000) if shares[number])


def test_crops_are_cut_as_guidance_cuts_them(tmp_path: Path) -> None:
    folder = make_prepared_hands(tmp_path / "hands", (IN, "real", 0, ""), (IN, "fake", 0, ""))
    pairs = pairs_of(folder)
    picture, box = PreparedHands(folder)[1]
    wanted = square_crops(picture.float(), [box], 32, 0.1)[0]
    assert pairs.crop(1).shape == (3, 32, 32)
    torch.testing.assert_close(pairs.crop(1).float(), wanted, atol=0.51, rtol=0)


def test_captions_are_numbered_once(tmp_path: Path) -> None:
    names = [f"q{n}" for n in range(300) if not is_held_out(f"q{n}", SHARE)][:3]
    texts = ("two", "", "one")
    pairs = pairs_of(
        make_prepared_hands(
            tmp_path / "hands", *((n, k, 0, t) for n, t in zip(names, texts, strict=True) for k in ("real", "fake"))
        )
    )
    assert pairs.texts == ("one", "two")
    found = [pairs.text(pair) for pair in range(3)]
    assert [pairs.texts[place] if place != UNKNOWN else "" for place in found] == list(texts)


def test_several_folders_do_not_mix_their_captions_pictures(tmp_path: Path) -> None:
    first = make_prepared_hands(tmp_path / "first", (IN, "real", 0, ""))
    second = make_prepared_hands(tmp_path / "second", (IN, "fake", 0, ""), (IN, "real", 0, ""))
    pairs = PreparedPairs([PreparedHands(folder) for folder in (first, second)], CONFIG, False, SHARE)
    assert pairs.crops == 3
    assert [pairs.rows(pair, 0) for pair in range(len(pairs))] == [(2, 1)]


def test_folders_without_a_pair_are_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = make_prepared_hands(tmp_path / "hands", (IN, "real", 0, ""), (OUT, "fake", 0, ""))
    with pytest.raises(ValueError, match="hold no pair of a real and a generated hand to train on: prepare more"):
        pairs_of(folder)
