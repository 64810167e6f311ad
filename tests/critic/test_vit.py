"""The frozen transformer gives its own hidden states as features, to the picture's gradient and to nothing else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn

from fairhands.critic import Critic, CriticConfig
from fairhands.critic.config import Transformer
from fairhands.critic.pretrained import pretrained
from fairhands.critic.vit import FAMILIES
from fairhands.critic.weights import digest

SMALL = {
    "model_type": "vit",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "image_size": 224,
    "patch_size": 16,
}
MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
families = pytest.mark.parametrize("family", FAMILIES)


def critic_on(folder: Path, input_size: int = 32, text_dimension: int | None = None, seed: int = 0) -> Critic:
    torch.manual_seed(seed)
    transformer, weights = pretrained(str(folder))
    transformer = replace(transformer, mean=MEAN, deviation=DEVIATION)
    critic = Critic(CriticConfig("vit", input_size, text_dimension=text_dimension, transformer=transformer))
    critic.backbone.fill(weights)
    return critic.eval()


def pictures(count: int, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("text_dimension", "of_the_heads"), [(768, 7.75), (None, 7.38)])
def test_the_critic_on_vit_s_16_has_the_shape_of_stylegan_t(text_dimension: int | None, of_the_heads: float):
    config = CriticConfig("vit", 224, text_dimension=text_dimension, transformer=Transformer("small", SMALL))
    with torch.device("meta"):
        critic = Critic(config)
        features = critic.features(torch.empty(2, 3, 224, 224))
        text = None if text_dimension is None else torch.empty(2, text_dimension)
        assert critic.judge(features, text).shape == (2, 980)
    assert [part.shape for part in features] == [(2, 384, 196)] * 5
    assert round(parameters(critic.backbone) / 1e6, 2) == 21.67
    assert round(parameters(critic.heads) / 1e6, 2) == of_the_heads


@families
@pytest.mark.parametrize("size", [32, 48])
@torch.no_grad()
def test_the_features_are_the_hidden_states_with_the_cls_token_added(family: str, size: int, transformer_folder):
    folder = transformer_folder(family)
    model_class = getattr(transformers, FAMILIES[family][1])
    model = model_class.from_pretrained(folder, **FAMILIES[family][2]).eval()
    normalised = (pictures(2, size) - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    options = {"interpolate_pos_encoding": True} if family == "vit" and size != 32 else {}
    states = model(normalised, output_hidden_states=True, **options).hidden_states
    features = critic_on(folder, size).features(pictures(2, size))
    assert len(features) == len(states) == 5
    registers = getattr(model.config, "num_register_tokens", 0)
    for state, feature in zip(states, features, strict=True):
        expected = state[:, 1 + registers :] + state[:, :1]
        assert expected.shape[1] == (size // 8) ** 2
        torch.testing.assert_close(feature, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


@families
def test_the_last_feature_is_not_normalised(family: str, transformer_folder):
    last = critic_on(transformer_folder(family)).backbone.model(pictures(1), output_hidden_states=True)
    assert torch.equal(last.last_hidden_state, last.hidden_states[-1])
    assert last.hidden_states[-1].std() > 2  # a norm with weights of 0.3 would make it small


@families
def test_the_gradient_is_that_of_finite_differences(family: str, transformer_folder):
    critic = critic_on(transformer_folder(family), text_dimension=6).double()
    text = torch.randn(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    batch = pictures(2).double().requires_grad_()
    (gradient,) = torch.autograd.grad(critic.loss(critic(batch, text)).sum(), batch)
    direction = torch.randn(batch.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ahead, behind = (critic.loss(critic(batch + step * direction, text)).sum() for step in (1e-6, -1e-6))
    torch.testing.assert_close((ahead - behind) / 2e-6, (gradient * direction).sum(), rtol=1e-5, atol=1e-8)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


@families
@torch.no_grad()
def test_a_picture_is_judged_by_itself(family: str, transformer_folder):
    critic = critic_on(transformer_folder(family))
    together = critic(pictures(5))
    torch.testing.assert_close(critic(pictures(5)[3:4])[0], together[3], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(critic(pictures(5).to(memory_format=torch.channels_last)), together)


@families
def test_training_changes_the_heads_and_never_the_backbone(family: str, transformer_folder):
    critic = critic_on(transformer_folder(family))
    before = critic.features(pictures(2))
    critic.train()
    assert critic.heads.training
    assert not any(module.training for module in critic.backbone.modules())
    assert all(torch.equal(a, b) for a, b in zip(critic.features(pictures(2)), before, strict=True))
    critic(pictures(2).requires_grad_()).sum().backward()
    assert all(weight.grad is None and not weight.requires_grad for weight in critic.backbone.parameters())
    assert all(weight.grad is not None for weight in critic.heads.parameters())


def test_no_graph_is_kept_of_the_backbone_where_only_the_heads_learn(transformer_folder):
    features = critic_on(transformer_folder("vit")).train().features(pictures(2))
    assert not any(part.requires_grad for part in features)


@torch.no_grad()
@pytest.mark.parametrize("text_dimension", [None, 6])
def test_logits_are_in_single_precision_under_autocast(text_dimension: int | None, transformer_folder):
    critic = critic_on(transformer_folder("vit"), text_dimension=text_dimension)
    text = None if text_dimension is None else torch.ones(1, text_dimension)
    exact = critic(pictures(2), text)
    with torch.autocast("cpu", torch.bfloat16):
        logits = critic(pictures(2), text)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, exact)
    torch.testing.assert_close(logits, exact, atol=0.1, rtol=0.1)


def test_filling_rounds_to_half_precision_and_checks_the_hash(transformer_folder):
    folder = transformer_folder("vit")
    transformer, weights = pretrained(str(folder))
    critic = Critic(CriticConfig("vit", 32, transformer=transformer))
    finer = {name: weight.float() * (1 + 2**-14) for name, weight in weights.items()}
    critic.backbone.fill(finer)
    assert all(torch.equal(weight, weight.half().float()) for weight in critic.backbone.parameters())
    assert all(weight.dtype == torch.float32 for weight in critic.backbone.parameters())
    _, other = pretrained(str(transformer_folder("vit", seed=1)))
    with pytest.raises(ValueError, match=f"has the hash {digest(other)} and not {transformer.sha256}"):
        critic.backbone.fill(other)


def test_the_hash_is_of_the_values_whatever_their_order_and_precision():
    weights = {"a": torch.arange(6).view(2, 3) / 4, "b": torch.ones(2)}
    assert digest(weights) == digest({"b": weights["b"].half(), "a": weights["a"].double()})
    others = [{**weights, "a": weights["a"].view(3, 2)}, {**weights, "b": torch.zeros(2)}, {"c": torch.ones(2)}]
    assert len({digest(other) for other in [weights, *others]}) == 4


def test_weights_that_do_not_fit_are_named(transformer_folder):
    transformer, weights = pretrained(str(transformer_folder("vit")))
    backbone = Critic(CriticConfig("vit", 32, transformer=replace(transformer, sha256=""))).backbone
    name = "encoder.layer.0.attention.attention.query.bias"
    with pytest.raises(ValueError, match=r"whose tensor backbone\..*\.0\..*bias is \[15\] and not \[16\]"):
        backbone.fill({**weights, name: torch.zeros(15)})
    with pytest.raises(ValueError, match=r"with the unexpected tensor backbone\.spare"):
        backbone.fill({**weights, "spare": torch.zeros(15)})
    with pytest.raises(ValueError, match=f"whose tensor backbone.{name} has values that are not finite"):
        backbone.fill({**weights, name: torch.full((16,), 1e6)})
    del weights[name]
    with pytest.raises(ValueError, match=r"without the tensor backbone\..*\.0\.attention.*bias"):
        backbone.fill(weights)


@pytest.mark.parametrize(
    ("transformer", "words"),
    [
        (None, "transformer should be given"),
        (Transformer("clip", {"model_type": "clip", "patch_size": 16}), "should be one of vit, dinov2, .*found 'clip'"),
        (Transformer("small", {**SMALL, "patch_size": 14}), "divisible by 14, the patch size of small, found 32"),
        (Transformer("small", {**SMALL, "patch_size": "16"}), "divisible by 16"),
        (Transformer("small", SMALL, places=(0, 13)), r"places should be in 0..12, found \(0, 13\)"),
        (Transformer("small", {**SMALL, "hidden_size": "wide"}), "transformers cannot"),
        (Transformer("small", {**SMALL, "hidden_act": "none"}), "transformers cannot"),
    ],
)
def test_a_transformer_that_cannot_be_built_is_refused(transformer: Transformer | None, words: str):
    with pytest.raises(ValueError, match=words), torch.device("meta"):
        Critic(CriticConfig("vit", 32, transformer=transformer))


@pytest.mark.parametrize(
    "values",
    [{"name": 3}, {"shape": []}, {"places": ()}, {"places": ("a",)}, {"mean": (1, 2)}, {"deviation": (1, 0, 1)}],
)
def test_values_that_no_transformer_has_are_refused(values: dict):
    with pytest.raises(ValueError, match="a transformer's"):
        Transformer(**{"name": "small", "shape": SMALL, **values})


def test_transformers_is_imported_only_for_a_transformer(tmp_path: Path):
    program = (
        "import sys; from fairhands.critic import *; save(Critic(CriticConfig()), sys.argv[1], {}); load(sys.argv[1]);"
        "assert 'transformers' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "critic.safetensors")]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
