from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fairhands.guidance.low_rank import BiasDifference, Branch, LowRank, LowRankBranches, WeightDifference

Layer = Any
RANK, SCALE = 3, 0.5
IN, OUT = 6, 8


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


class Network(nn.Module):
    """One layer under a path."""

    def __init__(self, layer: Layer):
        super().__init__()
        self.block = nn.Sequential(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def linear() -> tuple[Layer, Tensor]:
    return nn.Linear(IN, OUT), normal(4, 5, IN)


def convolution(kernel: int, **options: Any) -> tuple[Layer, Tensor]:
    return nn.Conv2d(IN, OUT, kernel, **options), normal(4, IN, 7, 6)


Case = tuple[Layer, Tensor, Branch, Tensor, Tensor]


def plain(layer: Layer, x: Tensor, spare: tuple[int, ...] = ()) -> Case:
    """A LoRA of the layer's shapes and the same as a difference of the weight; `spare` are dimensions of size one."""
    down, up = normal(RANK, *layer.weight.shape[1:]), normal(OUT, RANK)
    difference = SCALE * torch.einsum("or,r...->o...", up, down)
    return layer, x, LowRank(down, up.view(OUT, RANK, *spare), SCALE), difference, torch.zeros(OUT)


def tucker(layer: Layer, x: Tensor) -> Case:
    down, mid, up = normal(RANK, IN, 1, 1), normal(RANK, RANK, *layer.kernel_size), normal(OUT, RANK, 1, 1)
    difference = SCALE * torch.einsum("or,rs...,si->oi...", up[:, :, 0, 0], mid, down[:, :, 0, 0])
    return layer, x, LowRank(down, up, SCALE, mid), difference, torch.zeros(OUT)


def sliced(layer: Layer, x: Tensor) -> Case:
    down, up = normal(2, *layer.weight.shape[1:]), normal(3, 2)
    difference = torch.zeros(layer.weight.shape, dtype=torch.float64)
    difference[4:7] = SCALE * torch.einsum("or,r...->o...", up, down)
    return layer, x, LowRank(down, up, SCALE, outputs=(4, 3)), difference, torch.zeros(OUT)


def dense(layer: Layer, x: Tensor) -> Case:
    difference = normal(*layer.weight.shape)
    return layer, x, WeightDifference(difference), difference, torch.zeros(OUT)


def bias(layer: Layer, x: Tensor) -> Case:
    difference = normal(OUT)
    return layer, x, BiasDifference(difference), torch.zeros(layer.weight.shape), difference


CASES: dict[str, Callable[[], Case]] = {
    "linear": lambda: plain(*linear()),
    "linear from a pointwise convolution's file": lambda: plain(*linear(), spare=(1, 1)),
    "linear, slice": lambda: sliced(*linear()),
    "linear, dense": lambda: dense(*linear()),
    "linear, bias": lambda: bias(*linear()),
    "convolution 1x1": lambda: plain(*convolution(1), spare=(1, 1)),
    "convolution 3x3": lambda: plain(*convolution(3, padding=1), spare=(1, 1)),
    "convolution 3x3 with a stride": lambda: plain(*convolution(3, padding=1, stride=2), spare=(1, 1)),
    "convolution 3x3, dilated, around the edges": lambda: plain(
        *convolution(3, padding=2, dilation=2, padding_mode="circular")
    ),
    "convolution 3x3, Tucker": lambda: tucker(*convolution(3, padding=1, stride=2)),
    "convolution 1x1, Tucker": lambda: tucker(*convolution(1)),
    "convolution 3x3, slice": lambda: sliced(*convolution(3, padding=1)),
    "convolution 3x3, dense": lambda: dense(*convolution(3, padding=1, stride=2)),
    "convolution 3x3, grouped, dense": lambda: dense(*convolution(3, groups=2)),
    "convolution 3x3, bias": lambda: bias(*convolution(3, padding=1)),
    "convolution in one dimension": lambda: plain(nn.Conv1d(IN, OUT, 3), normal(4, IN, 9)),
    "convolution in three dimensions": lambda: tucker3d(),
}


def tucker3d() -> Case:
    layer = nn.Conv3d(IN, OUT, (1, 3, 2))
    down, mid, up = normal(RANK, IN), normal(RANK, RANK, 1, 3, 2), normal(OUT, RANK)
    difference = SCALE * torch.einsum("or,rs...,si->oi...", up, mid, down)
    return layer, normal(4, IN, 2, 5, 4), LowRank(down, up, SCALE, mid), difference, torch.zeros(OUT)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(3)
    case = CASES[request.param]()
    case[0].double()
    return case


def merged(layer: Layer, weight: Tensor, bias: Tensor, strength: float) -> Layer:
    layer = deepcopy(layer)
    layer._forward_hooks.clear()
    layer.weight.data += strength * weight
    layer.bias.data += strength * bias
    return layer


@pytest.mark.parametrize("rows", [[1.0] * 4, [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 0.7, -2.0, 0.5]])
def test_each_row_is_what_merged_weights_of_its_strength_give(case: Case, rows: list[float]) -> None:
    layer, x, branch, weight, added = case
    off = layer(x)
    network = Network(layer)
    branches = LowRankBranches({"block.0": [branch]})
    branches.attach(network)
    with branches.on(torch.tensor(rows, dtype=torch.float64)):
        on = network(x)
    assert on.stride() == off.stride()
    for row, strength in enumerate(rows):
        if strength == 0:
            assert torch.equal(on[row], off[row])
        else:
            torch.testing.assert_close(on[row], merged(layer, weight, added, strength)(x)[row])
            assert not torch.allclose(on[row], off[row], atol=1e-3)


def test_off_the_network_gives_the_very_same_tensor() -> None:
    layer, x, branch, *_ = CASES["linear"]()
    kept: list[Tensor] = []
    layer.double().register_forward_hook(lambda _layer, _arguments, output: kept.append(output))
    network = Network(layer)
    branches = LowRankBranches({"block.0": [branch]})
    branches.attach(network)
    assert network(x) is kept[-1]
    for rows in (None, torch.zeros(4)):
        with branches.on(rows):
            assert network(x) is kept[-1]
    with branches.on(torch.ones(4)):
        assert network(x) is not kept[-1]
    assert network(x) is kept[-1]
    branches.detach()
    with branches.on(torch.ones(4)):
        assert network(x) is kept[-1]
    assert not branches.attached


def test_an_error_inside_on_switches_off_and_on_can_be_nested() -> None:
    layer, x, branch, *_ = CASES["linear"]()
    network = Network(layer.double())
    branches = LowRankBranches({"block.0": [branch]})
    branches.attach(network)
    off = network(x)
    with pytest.raises(KeyError), branches.on(torch.ones(4)):
        raise KeyError
    with branches.on(torch.ones(4)):
        on = network(x)
        with branches.on(None):
            assert torch.equal(network(x), off)
        assert torch.equal(network(x), on)
    assert torch.equal(network(x), off)


def test_a_second_attach_does_not_add_twice_and_two_sets_add_up() -> None:
    layer, x, branch, weight, zero = CASES["linear"]()
    network = Network(layer.double())
    first, second = LowRankBranches({"block.0": [branch]}), LowRankBranches({"block.0": [branch, branch]})
    first.attach(network)
    first.attach(network)
    with first.on(torch.ones(4)):
        torch.testing.assert_close(network(x), merged(layer, weight, zero, 1.0)(x))
    second.attach(network)
    with first.on(torch.ones(4)), second.on(torch.ones(4)):
        torch.testing.assert_close(network(x), merged(layer, weight, zero, 3.0)(x))


def test_the_gradient_to_the_input_flows_through_branches_that_were_made_in_inference_mode(case: Case) -> None:
    layer, x, _, weight, added = case
    with torch.inference_mode():
        branch = case[2].__class__(**{name: _clone(value) for name, value in vars(case[2]).items()})
        assert not any(value.is_inference() for value in vars(branch).values() if isinstance(value, Tensor))
        network = Network(layer)
        branches = LowRankBranches({"block.0": [branch]})
        branches.attach(network)
        with branches.on(torch.ones(4)):
            network(x.float().double())
    rows = [0.0, 0.7, 0.0, -2.0]
    x = x.requires_grad_()
    with branches.on(torch.tensor(rows, dtype=torch.float64)):
        loss = network(x).square().sum()
    (gradient,) = torch.autograd.grad(loss, x)
    for row, strength in enumerate(rows):
        same = merged(layer, weight, added, strength)(x)[row].square().sum()
        torch.testing.assert_close(gradient[row], torch.autograd.grad(same, x)[0][row])


def _clone(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value


def test_tensors_follow_the_inputs_dtype_once() -> None:
    layer, x, branch, weight, zero = CASES["linear"]()
    network = Network(layer.bfloat16())
    branches = LowRankBranches({"block.0": [branch]})
    branches.attach(network)
    with branches.on(torch.ones(4)):
        half = network(x.bfloat16())
        placed = branches._placed["block.0"]
        network(x.bfloat16())
        assert branches._placed["block.0"] is placed
        exact = network.double()(x)
    assert half.dtype == torch.bfloat16
    # Back in float64 the branch is the file's own again, not the one rounded to bfloat16.
    torch.testing.assert_close(exact, merged(layer, weight, zero, 1.0)(x))


@pytest.mark.parametrize("path", ["block.1", "block.0.inner", "blok"])
def test_a_path_that_is_not_there_is_named_and_nothing_is_attached(path: str) -> None:
    layer, _, branch, *_ = CASES["linear"]()
    network = Network(layer.double())
    branches = LowRankBranches({"block.0": [branch], path: [branch]})
    with pytest.raises(ValueError, match=f"Network has no layer '{path}'"):
        branches.attach(network)
    assert not branches.attached
    assert not network.block[0]._forward_hooks


@pytest.mark.parametrize(
    ("layer", "branch", "sentence"),
    [
        (nn.Linear(IN, OUT), LowRank(normal(2, 5), normal(OUT, 2)), r"down is \[2, 5\], the layer needs \[2, 6\]"),
        (nn.Linear(IN, OUT), LowRank(normal(2, IN), normal(7, 2)), r"up is \[7, 2\], the layer needs \[8, 2\]"),
        (nn.Linear(IN, OUT), LowRank(normal(2, IN), normal(4, 2), outputs=(5, 4)), r"outputs is \(5, 4\)"),
        (nn.Conv2d(IN, OUT, 3), LowRank(normal(2, IN, 1, 1), normal(OUT, 2)), r"the layer needs \[2, 6, 3, 3\]"),
        (nn.Conv2d(IN, OUT, 3, groups=2), LowRank(normal(2, 3, 3, 3), normal(OUT, 2)), "in one group"),
        (nn.Linear(IN, OUT), BiasDifference(normal(3)), r"bias is \[3\], the layer needs \[8\]"),
        (nn.GroupNorm(2, OUT), BiasDifference(normal(OUT)), "GroupNorm is neither linear nor a convolution"),
        (nn.ConvTranspose2d(IN, OUT, 3), BiasDifference(normal(OUT)), "ConvTranspose2d is neither"),
    ],
)
def test_a_branch_that_does_not_fit_its_layer_is_refused(layer: Layer, branch: Branch, sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"the branch of 'block.0' does not fit: .*{sentence}"):
        LowRankBranches({"block.0": [branch]}).attach(Network(layer))


@pytest.mark.parametrize("rows", [torch.ones(2, 2), torch.ones(0), torch.tensor([1, 0]), torch.tensor(1.0)])
def test_rows_of_another_form_are_refused(rows: Tensor) -> None:
    with (
        pytest.raises(ValueError, match=r"rows is torch\..*expected one strength for each row"),
        LowRankBranches({}).on(rows),
    ):
        pass


@pytest.mark.parametrize("shape", [(3, IN), (5, 2, IN), (IN,), (1, IN)])
def test_an_input_of_no_multiple_of_the_rows_is_refused_with_its_layer(shape: tuple[int, ...]) -> None:
    layer, _, branch, *_ = CASES["linear"]()
    network = Network(layer.double())
    branches = LowRankBranches({"block.0": [branch]})
    branches.attach(network)
    with branches.on(torch.ones(2)), pytest.raises(ValueError, match=r"'block.0' is \[.*the batch's 2 rows"):
        network(normal(*shape))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_shape_any_rows_any_folding(data: st.DataObject) -> None:
    size = st.integers(1, 5)
    inner, out, rank, kernel, stride, times = (data.draw(size) for _ in range(6))
    rows = data.draw(st.lists(st.sampled_from([0.0, 1.0, 0.3, -1.5]), min_size=1, max_size=5))
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    layer = data.draw(
        st.sampled_from([nn.Linear(inner, out), nn.Conv2d(inner, out, kernel, stride, padding=kernel // 2)])
    ).double()
    count = len(rows) * times
    x = normal(count, 3, inner) if isinstance(layer, nn.Linear) else normal(count, inner, 6, 5)
    down, up = normal(rank, *layer.weight.shape[1:]), normal(out, rank)
    weight, zero = torch.einsum("or,r...->o...", up, down), torch.zeros(out)
    off = layer(x)
    network = Network(layer)
    branches = LowRankBranches({"block.0": [LowRank(down, up)]})
    branches.attach(network)
    with branches.on(torch.tensor(rows, dtype=torch.float64)):
        on = network(x)
    for entry in range(count):
        strength = rows[entry // times]
        if strength == 0:
            assert torch.equal(on[entry], off[entry])
        else:
            torch.testing.assert_close(on[entry], merged(layer, weight, zero, strength)(x)[entry])
