"""Batches are drawn as asked for, and all that belongs to a picture lies alike in them."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch.nn import functional

from fairhands.people.batch import Batch
from fairhands.people.examples import Examples
from fairhands.training.draw import Draw, draw_of
from tests.people.conftest import Folder, NewPeople


def same(one: Batch, other: Batch) -> bool:
    pairs = [(one.latents, other.latents), (one.sizes, other.sizes)]
    pairs += [(one.masks[region], other.masks[region]) for region in one.masks]
    if one.text is not None and other.text is not None:
        pairs.append((one.text.states, other.text.states))
    if one.conditioning is not None and other.conditioning is not None:
        pairs.append((one.conditioning, other.conditioning))
    return one.captions == other.captions and all(torch.equal(*pair) for pair in pairs)


def batches(examples: Examples, steps: int, batch: int = 3, seed: int = 0) -> list[Batch]:
    return [examples.batch(draw_of(seed, step, batch)) for step in range(steps)]


def test_a_batch_follows_from_its_draw_alone(new_people: NewPeople) -> None:
    examples = new_people(flip=True, box_noise=0.1, conditioning="pose").training
    used = draw_of(3, 5, 4)
    used.normal(7)
    first = examples.batch(draw_of(3, 5, 4))
    assert same(first, examples.batch(draw_of(3, 5, 4)))
    assert same(first, examples.batch(used))
    assert not all(same(first, examples.batch(draw_of(3, step, 4))) for step in range(6, 9))


def test_a_batch_takes_no_number_from_its_draw(new_people: NewPeople) -> None:
    draw = draw_of(0, 0, 2)
    new_people().training.batch(draw)
    assert torch.equal(draw.normal(4), draw_of(0, 0, 2).normal(4))


def test_batches_loaded_ahead_are_the_same(new_people: NewPeople) -> None:
    examples = new_people(flip=True, workers=3, conditioning="pose").training
    ahead = examples.batches(draw_of(1, step, 2) for step in range(7))
    assert all(same(one, other) for one, other in zip(ahead, batches(examples, 7, 2, 1), strict=True))


def test_two_passes_draw_together_what_one_of_twice_the_size_draws(new_people: NewPeople) -> None:
    examples = new_people(flip=True, box_noise=0.2).training
    for step in range(4):
        whole = examples.batch(draw_of(0, step, 4))
        parts = [examples.batch(draw_of(0, step, 2, part, 2)) for part in range(2)]
        assert torch.equal(torch.cat([part.latents for part in parts]), whole.latents)
        assert torch.equal(torch.cat([part.masks["hand"] for part in parts]), whole.masks["hand"])
        assert parts[0].captions + parts[1].captions == whole.captions


def test_each_picture_is_drawn_alike_whatever_the_size_of_its_bucket(folder: Folder, new_people: NewPeople) -> None:
    for number in range(12, 20):
        folder.add(number, (200, 120), text=f"{'right ' * (number % 2)}hand")
    folder.write()
    examples = new_people(encode_text=False, caption_dropout=0.0).training
    draws = Counter(size for batch in batches(examples, 600, 1) for size in [tuple(batch.latents.shape[2:])])
    shares = {(height // 8, width // 8): count / 20 for (width, height), count in examples.buckets.items()}
    assert draws.keys() == shares.keys()
    for size, share in shares.items():
        assert draws[size] / 600 == pytest.approx(share, abs=0.07)


def test_masks_have_the_latents_size_and_are_zero_without_a_region(folder: Folder, new_people: NewPeople) -> None:
    folder.lines = [line for line in folder.lines if "hand" in line.boxes][:3]
    folder.lines[0] = replace(folder.lines[0], boxes={"face": (), "hand": ()})
    folder.write()
    people = new_people()
    assert people.training.counts == {"face": 2, "hand": 2}
    for batch in people.training.in_order(2):
        for mask in batch.masks.values():
            assert mask.dtype == torch.float32
            assert mask.shape == (len(batch), 1, *batch.latents.shape[2:])
    empty = [batch.masks["hand"].sum() == 0 for batch in people.training.in_order(1)]
    assert sum(empty) == 1


def test_a_crop_follows_a_box_that_was_moved(folder: Folder, new_people: NewPeople) -> None:
    folder.lines.clear()
    folder.add(0, (400, 100))
    folder.write()
    for x in (0.0, 370.0):
        folder.lines[0] = replace(folder.lines[0], boxes={"face": (), "hand": ((x, 10.0, 30.0, 50.0),)})
        folder.write()
        assert new_people().training.counts["hand"] == 1


@pytest.mark.parametrize("number", [0, 2])
def test_crops_keep_regions_of_boxes_and_of_masks_in_files(folder: Folder, new_people: NewPeople, number: int) -> None:
    folder.lines.clear()
    folder.add(number, (400, 100))  # the middle of which, at most 200 wide, shows no hand
    folder.lines[0] = replace(folder.lines[0], boxes={**folder.lines[0].boxes, "face": ()})
    folder.write()
    people = new_people()
    (batch,) = people.training.in_order(1)
    assert people.training.counts == {"face": 0, "hand": 1}
    scale = batch.latents.shape[2] * 8 / 100
    assert float(batch.masks["hand"].sum()) == pytest.approx(20 * 16 * (scale / 8) ** 2, rel=0.02)


@pytest.mark.parametrize("flip", [False, True])
def test_masks_lie_where_the_picture_shows_the_regions(new_people: NewPeople, flip: bool) -> None:
    """Boxes and masks in files alike: the face is red, the hand green."""
    people = new_people(flip=flip, conditioning="pose")
    seen = set()
    for batch in batches(people.training, 24, 2):
        assert batch.conditioning is not None
        assert batch.conditioning.shape == (len(batch), 3, *(8 * side for side in batch.latents.shape[2:]))
        for channel, region in enumerate(("face", "hand")):
            bright = (batch.conditioning[:, channel : channel + 1] > 0.5).float()
            torch.testing.assert_close(batch.masks[region], functional.avg_pool2d(bright, 8), atol=0.15, rtol=0)
            seen |= {float((mask * torch.arange(mask.shape[-1])).sum() / mask.sum()) for mask in batch.masks[region]}
    assert len(seen) >= (10 if flip else 5)


def test_latents_are_those_of_the_picture_that_the_conditioning_shows(new_people: NewPeople) -> None:
    people = new_people(flip=True, precision="fp32", conditioning="pose")
    for batch in batches(people.training, 12, 2):
        assert batch.conditioning is not None
        with torch.no_grad():
            expected = people._base.encode(batch.conditioning)
        torch.testing.assert_close(batch.latents, expected, atol=1e-4, rtol=1e-4)


def test_half_of_the_pictures_are_mirrored_where_flips_are_on(new_people: NewPeople) -> None:
    upright, mirrored = new_people(), new_people(flip=True)
    steps = zip(batches(upright.training, 60, 2), batches(mirrored.training, 60, 2), strict=True)
    rows = [pair for one, other in steps for pair in zip(one.latents, other.latents, strict=True)]
    alike = [torch.allclose(one, other, atol=1e-3) for one, other in rows]
    assert 0.35 < sum(alike) / len(alike) < 0.65


def test_a_dropped_caption_is_the_empty_prompt(new_people: NewPeople) -> None:
    people = new_people(caption_dropout=0.3)
    found = batches(people.training, 200, 2)
    captions = [caption for batch in found for caption in batch.captions]
    assert 0.22 < captions.count("") / len(captions) < 0.38
    nothing = people.text([""]).states[0]
    for batch in found[:20]:
        assert batch.text is not None
        for caption, states in zip(batch.captions, batch.text.states, strict=True):
            assert torch.allclose(states, nothing, atol=5e-3) == (caption == "")


def test_errors_of_boxes_move_masks_of_boxes_alone(new_people: NewPeople) -> None:
    exact, noisy = (batches(new_people(box_noise=noise).training, 30, 2) for noise in (0.0, 0.3))
    by_box = by_file = 0
    for one, other in zip(exact, noisy, strict=True):
        assert torch.equal(one.latents, other.latents)
        for row, caption in enumerate(one.captions):
            if caption == "malformed hand":  # whose hand's mask is in a file
                by_file += 1
                assert torch.equal(one.masks["hand"][row], other.masks["hand"][row])
            by_box += not torch.equal(one.masks["face"][row], other.masks["face"][row])
    assert by_box == 60
    assert len({row.numpy().tobytes() for batch in noisy for row in batch.masks["face"]}) == 60
    assert by_file


def test_in_order_gives_each_picture_once_and_as_it_is(new_people: NewPeople) -> None:
    people = new_people(flip=True, caption_dropout=1.0, box_noise=0.5)
    plain = new_people()
    found = list(people.training.in_order(2))
    assert sum(map(len, found)) == len(people.training) == 12
    assert max(map(len, found)) == 2
    assert len({row.numpy().tobytes() for batch in found for row in batch.latents}) == 12
    assert all(same(one, other) for one, other in zip(found, plain.training.in_order(2), strict=True))
    assert "" not in [caption for batch in found for caption in batch.captions]


def test_endless_draws_are_taken_as_they_are_needed(new_people: NewPeople) -> None:
    taken = []

    def endless():
        while True:
            taken.append(draw_of(0, len(taken), 1))
            yield taken[-1]

    assert len(list(islice(new_people(workers=2).training.batches(endless()), 3))) == 3
    assert len(taken) <= 6


def test_a_draw_without_a_seeded_step_still_gives_a_batch(new_people: NewPeople) -> None:
    assert len(new_people().training.batch(Draw(torch.Generator(), 2))) == 2
