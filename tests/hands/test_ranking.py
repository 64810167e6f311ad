import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairhands.hands.ranking import IMAGE_SCORES, NO_HAND, image_score, ranking

SHARE = st.floats(0, 1)
HANDS = st.lists(SHARE, min_size=1, max_size=6)
SCORES = st.lists(st.none() | SHARE, min_size=1, max_size=8)


@given(HANDS)
def test_worst_mean_and_best_lie_in_this_order_among_the_hands(hands: list[float]) -> None:
    worst, mean, best = (image_score(hands, of) for of in ("worst", "mean", "best"))
    assert worst == min(hands) <= mean <= max(hands) == best


@given(HANDS, st.randoms())
def test_the_order_of_the_hands_does_not_matter(hands: list[float], random) -> None:
    mixed = random.sample(hands, len(hands))
    for of in IMAGE_SCORES:
        assert image_score(mixed, of) == pytest.approx(image_score(hands, of))


@given(HANDS, SHARE)
def test_another_hand_never_raises_the_score_by_the_worst_nor_lowers_that_by_the_best(
    hands: list[float], other: float
) -> None:
    assert image_score([*hands, other], "worst") <= image_score(hands, "worst")
    assert image_score([*hands, other], "best") >= image_score(hands, "best")


def test_the_mean_counts_every_hand_alike() -> None:
    assert image_score([0.1, 0.2, 0.9], "mean") == pytest.approx(0.4)


@pytest.mark.parametrize("of", IMAGE_SCORES)
def test_a_picture_without_a_hand_has_no_score(of: str) -> None:
    assert image_score([], of) is None


@given(SCORES, st.sampled_from(NO_HAND))
def test_the_ranking_names_each_picture_once_from_the_best_to_the_worst(
    scores: list[float | None], no_hand: str
) -> None:
    places = ranking(scores, no_hand)
    assert sorted(places) == list(range(len(scores)))
    ranked = [scores[place] for place in places if scores[place] is not None]
    assert ranked == sorted(ranked, reverse=True)


@given(SCORES)
def test_pictures_without_a_hand_come_last_or_first(scores: list[float | None]) -> None:
    hands = [place for place in ranking(scores, "last") if scores[place] is not None]
    none = [place for place, score in enumerate(scores) if score is None]
    assert ranking(scores, "last") == hands + none
    assert ranking(scores, "first") == none + hands


@given(st.lists(SHARE, min_size=1, max_size=8, unique=True), st.booleans(), st.sampled_from(NO_HAND), st.randoms())
def test_the_same_picture_is_the_best_in_whatever_order_they_come(
    scores: list[float | None], one_without: bool, no_hand: str, random
) -> None:
    scores = [*scores, None] if one_without else scores
    mixed = random.sample(range(len(scores)), len(scores))
    in_mixed = ranking([scores[place] for place in mixed], no_hand)
    assert [mixed[place] for place in in_mixed] == ranking(scores, no_hand)


@given(SCORES, st.sampled_from(NO_HAND))
def test_of_like_pictures_the_first_comes_first(scores: list[float | None], no_hand: str) -> None:
    places = ranking(scores + scores, no_hand)
    for place in range(len(scores)):
        assert places.index(place) < places.index(place + len(scores))


def test_the_worst_of_hands_ranks_before_none_where_none_ranks_last() -> None:
    assert ranking([None, 0.0], "last") == [1, 0]
    assert ranking([1.0, None], "first") == [1, 0]


def test_all_pictures_without_a_hand_stay_in_their_order() -> None:
    for no_hand in NO_HAND:
        assert ranking([None, None, None], no_hand) == [0, 1, 2]


def test_choices_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="image_score is 'median', expected one of worst, mean, best"):
        image_score([0.5], "median")
    with pytest.raises(ValueError, match="no_hand is 'skip', expected one of last, first"):
        ranking([0.5], "skip")
