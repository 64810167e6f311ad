"""Depth models of transformers tell how near things are, and that becomes a picture in which near is white."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from transformers import BertConfig, DPTConfig, GLPNConfig

from fairhands.data.depth import DepthModelError, _tells_distance, depth_estimator, depth_picture

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))


def test_a_model_tells_a_value_for_each_pixel(tiny_depth_model: Path):
    nearness = depth_estimator(str(tiny_depth_model))(PICTURE)
    assert nearness.shape == (40, 60)
    assert nearness.dtype == np.float32
    assert nearness.std() > 0
    np.testing.assert_array_equal(depth_estimator(str(tiny_depth_model))(PICTURE), nearness)


def test_where_small_values_are_near_the_order_is_turned_around(tiny_depth_model: Path):
    large, small = (depth_estimator(str(tiny_depth_model), near)(PICTURE) for near in ("large", "small"))
    positive = large > large.max() * 1e-3
    assert positive.mean() > 0.2
    np.testing.assert_allclose(small[positive], 1 / large[positive], rtol=1e-5)


def test_auto_goes_by_what_the_model_says_of_itself():
    assert not _tells_distance(DPTConfig())
    assert _tells_distance(GLPNConfig())
    metric = DPTConfig()
    metric.depth_estimation_type = "metric"
    assert _tells_distance(metric)


def test_what_is_no_depth_model_is_one_sentence(tmp_path: Path):
    BertConfig().save_pretrained(tmp_path / "bert")
    for name in (tmp_path / "none", tmp_path / "bert"):
        with pytest.raises(DepthModelError, match="is no model here that estimates depth") as caught:
            depth_estimator(str(name))
        assert "\n" not in str(caught.value)


@given(arrays.arrays(np.float32, (4, 5), elements=st.floats(-1e6, 1e6, width=32)))
def test_the_nearest_is_white_the_furthest_black_and_order_is_kept(nearness: np.ndarray):
    picture = depth_picture(nearness)
    assert picture.shape == (4, 5, 3)
    assert (picture == picture[..., :1]).all()
    grey = picture[..., 0].reshape(-1).astype(int)
    if nearness.max() > nearness.min():
        assert grey[nearness.argmax()] == 255
    assert grey[nearness.argmin()] == 0
    assert (np.diff(grey[np.argsort(nearness.reshape(-1))]) >= 0).all()


def test_a_flat_depth_is_black_and_one_that_is_not_finite_an_error():
    assert not depth_picture(np.full((3, 3), 7.0)).any()
    with pytest.raises(ValueError, match="not finite"):
        depth_picture(np.array([[0.0, np.inf]]))
