"""What guidance relies on: a picture is judged by itself, and its gradient says how to improve it."""

import pytest
import torch
from torch import nn

from fairhands.critic import Critic, CriticConfig
from fairhands.critic.heads import Head
from fairhands.critic.training.measures import accuracy, area_under_curve


@pytest.fixture(scope="module")
def critic() -> Critic:
    torch.manual_seed(0)
    critic = Critic(CriticConfig())
    for _ in range(3):  # statistics that differ from those of a new network
        critic(torch.rand(8, 3, 64, 64) * 0.5)
    return critic.eval()


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_a_picture_has_the_same_logits_alone_and_among_others(critic: Critic):
    batch = pictures(8)
    together = critic(batch)
    assert together.shape == (8, 8 * 8 + 4 * 4)
    for number in range(8):
        torch.testing.assert_close(critic(batch[number : number + 1])[0], together[number], atol=1e-5, rtol=0)


def test_a_picture_gets_the_same_logits_each_time(critic: Critic):
    assert torch.equal(critic(pictures(2)), critic(pictures(2)))


def test_a_head_normalises_each_picture_by_itself_in_training_too():
    head = Head(16).train()
    features = torch.randn(4, 16, 20)
    head(features)
    head.eval()
    together = head(features)
    torch.testing.assert_close(head(features[:1]), together[:1])
    brighter = torch.cat([features[:1], features[1:] * 100])
    torch.testing.assert_close(head(brighter)[:1], together[:1])


def test_spectral_norm_bounds_the_heads_convolutions(critic: Critic):
    for head in critic.heads:
        convolutions = [part for part in head.modules() if isinstance(part, nn.Conv1d)]
        assert len(convolutions) == 3
        for convolution in convolutions:
            assert torch.linalg.matrix_norm(convolution.weight.flatten(1), ord=2) < 1.1


def test_the_gradient_reaches_every_picture_and_lowers_its_loss(critic: Critic):
    batch = pictures(4).requires_grad_()
    loss = critic.loss(critic(batch))
    assert loss.shape == (4,)
    (gradient,) = torch.autograd.grad(loss.sum(), batch)
    assert gradient.isfinite().all()
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    step = 1e-3 * gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None]
    assert (critic.loss(critic(batch - step)) < loss).all()


def test_the_loss_is_minus_the_mean_logit(critic: Critic):
    logits = torch.tensor([[1.0, 3.0], [-1.0, -2.0]])
    assert critic.loss(logits).tolist() == [-2.0, 1.5]


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 3, 32, 64), (1, 4, 64, 64), (1, 3, 128, 128)])
def test_pictures_of_another_shape_are_refused(critic: Critic, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"pictures should have the shape \[N, 3, 64, 64\], found"):
        critic(torch.zeros(shape))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"backbone": "vat"}, "backbone should be one of"),
        ({"input_size": 60}, "divisible by 2"),
        ({"widths": (8,)}, "two or more"),
        ({"input_size": 0}, "above 0"),
        ({"widths": (8, -8)}, "above 0"),
        ({"margin": -1.0}, "margin should be 0 or more"),
        ({"text_dimension": 0}, "text_dimension should be None or above 0"),
    ],
)
def test_a_configuration_that_no_critic_has_is_refused(config: dict, words: str):
    with pytest.raises(ValueError, match=words):
        Critic(CriticConfig(**config))


def test_measures_of_chance_and_of_perfection():
    low, high = torch.tensor([-2.0, -1.0]), torch.tensor([1.0, 2.0])
    assert (accuracy(high, low), area_under_curve(high, low)) == (1, 1)
    assert (accuracy(low, high), area_under_curve(low, high)) == (0, 0)
    assert (accuracy(high, high), area_under_curve(high, high)) == (0.5, 0.5)


def test_a_text_changes_the_judgement_and_its_length_does_not() -> None:
    torch.manual_seed(0)
    critic = Critic(CriticConfig(input_size=16, widths=(4, 8), text_dimension=6)).eval()
    pictures, text = torch.rand(3, 3, 16, 16), torch.randn(3, 6)
    logits = critic(pictures, text)
    assert logits.shape == Critic(CriticConfig(input_size=16, widths=(4, 8)))(pictures).shape
    torch.testing.assert_close(critic(pictures, 5 * text), logits)
    assert not torch.allclose(critic(pictures, text.flip(0)), logits)
    torch.testing.assert_close(critic(pictures), critic(pictures, torch.zeros(1, 6)))
    torch.testing.assert_close(critic(pictures[:1], text[:1]), logits[:1])


def test_a_text_of_another_length_or_for_a_critic_without_texts_is_refused() -> None:
    pictures = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"text should have the shape \[N, 6\], found \[1, 5\]"):
        Critic(CriticConfig(input_size=16, widths=(4, 8), text_dimension=6))(pictures, torch.zeros(1, 5))
    with pytest.raises(ValueError, match="trained without texts"):
        Critic(CriticConfig(input_size=16, widths=(4, 8)))(pictures, torch.zeros(1, 5))


def test_a_frozen_backbone_stays_in_evaluation_mode_while_its_heads_are_trained() -> None:
    critic = Critic(CriticConfig(input_size=16, widths=(4, 8)))
    assert critic.train().backbone.training
    critic.backbone.requires_grad_(False)
    assert not critic.train().backbone.training
    assert critic.heads.training
    before = {name: buffer.clone() for name, buffer in critic.backbone.named_buffers()}
    critic(torch.rand(4, 3, 16, 16))
    assert all(torch.equal(buffer, before[name]) for name, buffer in critic.backbone.named_buffers())
