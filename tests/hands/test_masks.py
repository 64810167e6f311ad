from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fairhands.data import mannequin
from fairhands.hands.detector import HandDetector
from fairhands.hands.hand import Hand
from fairhands.hands.masks import MaskStyle, draw_masks, fit_mask, mask_to_latent
from fairhands.hands.skeleton import box_of_flesh

SHAPES = ("box", "hull", "shape")
# A raised hand, 100 px from wrist to middle knuckle.
RAISED = np.array(
    [
        *[(100, 200), (60, 175), (35, 145), (20, 120), (8, 100)],
        *[(68, 105), (62, 65), (59, 42), (57, 22)],
        *[(100, 100), (100, 55), (100, 30), (100, 8)],
        *[(125, 106), (130, 65), (133, 42), (135, 24)],
        *[(145, 118), (158, 88), (164, 70), (170, 54)],
    ],
    dtype=np.float32,
)
STYLES = st.builds(
    MaskStyle, st.sampled_from(SHAPES), padding=st.floats(0, 0.5), dilation=st.floats(0, 20), feather=st.floats(0, 20)
)
PLACES = st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(0.01, 3))
SIZES = st.integers(1, 90)


def hand(landmarks: np.ndarray | None = RAISED, box: tuple[float, float, float, float] | None = None) -> Hand:
    return Hand(box or box_of_flesh(RAISED if landmarks is None else landmarks), 0.9, "right", landmarks)


def style(shape: Any = "shape", padding: float = 0.0, dilation: float = 0.0, feather: float = 0.0) -> MaskStyle:
    return MaskStyle(shape, padding, dilation, feather)


@given(PLACES, STYLES)
def test_a_mask_is_0_to_1_wherever_the_hand_lies(place: tuple[float, float, float], drawn: MaskStyle) -> None:
    x, y, scale = place
    mask = draw_masks([hand(RAISED * np.float32(scale) + np.array([x, y], np.float32))], 70, 110, drawn)
    assert mask.shape == (70, 110)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1


@given(st.sampled_from(SHAPES), *[st.integers(0, 10)] * 4)
def test_more_padding_and_more_dilation_never_take_away(
    shape: str, percent: int, more: int, dilation: int, more_dilation: int
) -> None:
    small = draw_masks([hand()], 220, 200, style(shape, percent / 100, dilation))
    large = draw_masks([hand()], 220, 200, style(shape, (percent + more) / 100, dilation + more_dilation))
    assert (large >= small).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_feathered_edge_fades_outward_and_leaves_the_inside(shape: str) -> None:
    hard = draw_masks([hand()], 260, 260, style(shape))
    soft = draw_masks([hand()], 260, 260, style(shape, feather=12))
    assert (soft[hard == 1] == 1).all()
    edge = soft[(soft > 0) & (hard == 0)]
    assert edge.size > 0
    assert edge.min() < 0.05 < 0.9 < edge.max() < 1
    far = draw_masks([hand()], 260, 260, style(shape, dilation=14)) == 0
    assert (soft[far] == 0).all()


def test_the_shape_lies_in_the_hull_and_the_hull_in_the_box() -> None:
    box, hull, shape = (draw_masks([hand()], 260, 220, style(kind)) for kind in SHAPES)
    assert (box >= hull).all()
    assert (hull >= shape).all()
    assert shape.sum() < 0.9 * hull.sum() < 0.8 * box.sum()


def test_the_shape_leaves_room_between_the_fingers_and_covers_their_tips() -> None:
    mask = draw_masks([hand()], 260, 220, style("shape"))
    joints = np.rint(RAISED).astype(int)
    assert all(mask[y, x] == 1 for x, y in joints)
    assert mask[2, 100] == 1
    assert mask[30, 80] == 0
    assert mask[30, 116] == 0


def test_it_covers_a_drawn_hand_and_little_else(hand_detector: HandDetector) -> None:
    covered, precise = [], []
    for seed in range(5):
        drawn = mannequin.draw(seed, 256, hands=1, kind="right")
        mask = draw_masks(hand_detector.detect(drawn.picture), 256, 256, style("shape")) == 1
        covered.append((mask & drawn.mask).sum() / drawn.mask.sum())
        precise.append((mask & drawn.mask).sum() / mask.sum())
    assert np.mean(covered) > 0.95
    assert np.mean(precise) > 0.75


def test_a_hand_without_landmarks_is_its_box() -> None:
    for shape in SHAPES:
        mask = draw_masks([hand(None, (10, 20, 30, 15))], 100, 100, style(shape))
        assert mask.sum() == 30 * 15
        assert mask[20:35, 10:40].all()


def test_padding_grows_with_the_hand_and_dilation_does_not() -> None:
    boxes = (hand(None, (100, 100, 20, 10)), hand(None, (100, 100, 60, 30)))
    padded = [draw_masks([one], 300, 300, style("box", padding=0.5)).sum() for one in boxes]
    dilated = [draw_masks([one], 300, 300, style("box", dilation=5)).sum() for one in boxes]
    assert padded == [40 * 30, 120 * 90]
    assert dilated == [30 * 20, 70 * 40]


def test_several_hands_are_joined_and_no_hand_is_an_empty_mask() -> None:
    one, other = hand(None, (0, 0, 10, 10)), hand(None, (50, 50, 10, 10))
    assert draw_masks([one, other], 60, 60, style("box")).sum() == 200
    assert draw_masks([], 60, 60, style("box", feather=5)).sum() == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": "circle"}, "'circle', expected one of box, hull, shape"),
        ({"padding": -0.1}, "padding is -0.1"),
        ({"feather": float("nan")}, "feather is nan"),
    ],
)
def test_a_style_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskStyle(**changed)


@given(arrays.arrays(np.float32, (2, 24, 32), elements=st.floats(0, 1, width=32)), st.sampled_from([1, 2, 4, 8]))
def test_at_latent_size_the_mean_is_kept_where_the_size_is_a_multiple(values: np.ndarray, factor: int) -> None:
    mask = torch.from_numpy(values)
    latent = mask_to_latent(mask, 24 // factor, 32 // factor)
    torch.testing.assert_close(latent.mean((1, 2)), mask.mean((1, 2)))


@given(SIZES, SIZES, SIZES, SIZES, st.data())
def test_at_latent_size_no_masked_pixel_is_lost(
    height: int, width: int, latent_height: int, latent_width: int, data: st.DataObject
) -> None:
    mask = torch.zeros(1, height, width)
    mask[0, data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = 1
    latent = mask_to_latent(mask, latent_height, latent_width)
    assert latent.shape == (1, latent_height, latent_width)
    assert 0 < latent.max() <= 1


def test_a_whole_mask_stays_whole_at_any_latent_size() -> None:
    assert (mask_to_latent(torch.ones(1, 67, 51), 9, 7) == 1).all()


@pytest.mark.parametrize("shape", [(20, 30), (1, 20, 30), (3, 20, 30), (3, 1, 20, 30), (40, 60), (7, 90)])
def test_a_users_mask_is_brought_to_the_pictures(shape: tuple[int, ...]) -> None:
    fitted = fit_mask(torch.rand(shape, dtype=torch.float64), 3, 20, 30)
    assert fitted.shape == (3, 20, 30)
    assert fitted.dtype == torch.float32
    assert fitted.min() >= 0
    assert fitted.max() <= 1


def test_a_users_mask_of_the_right_size_is_kept_and_not_shared() -> None:
    mask = torch.rand(2, 8, 8)
    fitted = fit_mask(mask, 2, 8, 8)
    assert torch.equal(fitted, mask)
    fitted.zero_()
    assert mask.sum() > 0


def test_one_mask_for_all_pictures_is_a_mask_for_each() -> None:
    fitted = fit_mask(torch.zeros(8, 8), 2, 8, 8)
    fitted[0] = 1
    assert fitted[1].sum() == 0


@pytest.mark.parametrize("size", [(64, 64), (8, 8), (64, 8)])
def test_a_resized_mask_loses_nothing_when_it_shrinks_and_keeps_its_mean(size: tuple[int, int]) -> None:
    mask = torch.zeros(32, 32)
    mask[8:24, 8:24] = 1
    fitted = fit_mask(mask, 1, *size)
    assert float(fitted.mean()) == pytest.approx(float(mask.mean()), abs=0.02)
    speck = torch.zeros(1, 64, 64)
    speck[0, 31, 31] = 1
    assert fit_mask(speck, 1, 8, 8).max() > 0


def test_values_that_are_no_share_are_brought_into_range() -> None:
    mask = torch.tensor([[-1.0, 2.0], [float("nan"), 0.5]])
    assert fit_mask(mask, 1, 2, 2).tolist() == [[[0.0, 1.0], [0.0, 0.5]]]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 8, 8), "for 3 pictures, expected 1 or 2"), ((8,), r"\[8\]"), ((2, 3, 8, 8), r"\[2, 3, 8, 8\]")],
)
def test_a_mask_that_fits_no_picture_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_mask(torch.ones(shape), 2, 8, 8)
