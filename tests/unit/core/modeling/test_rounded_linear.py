import math
from itertools import pairwise
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from core.modeling.adapter import AnchoredLinear, LowRankPair, weight_of
from core.modeling.rounded_linear import (
    NF4_BLOCK,
    NF4_LEVELS,
    RoundedLinear,
    added_weight,
    int8,
    merged_weight,
    nf4,
    nf4_step,
)


def random(*shape, seed=0, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slow_nf4(weight):
    """One block and one weight at a time, the nearest level by its distance."""
    flat = weight.flatten().tolist()
    found = []
    for start in range(0, len(flat), NF4_BLOCK):
        block = flat[start : start + NF4_BLOCK]
        scale = max(abs(value) for value in block)
        for value in block:
            at = value / scale if scale else 0.0
            found.append(min(NF4_LEVELS, key=lambda level: abs(level - at)) * scale)
    return torch.tensor(found).view(weight.shape)


def slow_int8(weight):
    rows = []
    for row in weight.tolist():
        step = max(abs(value) for value in row) / 127
        rows.append([round(value / step) * step if step else 0.0 for value in row])
    return torch.tensor(rows)


def anchored(base, *, seed=0, moved=0.1, rank=2):
    rows, columns = weight_of(base).shape
    anchor = LowRankPair(a=random(rank, columns, seed=seed), b=random(rows, rank, seed=seed + 1))
    initial = LowRankPair(a=anchor.a, b=anchor.b + random(rows, rank, seed=seed + 2, scale=moved))
    return AnchoredLinear(base, initial=initial, anchor=anchor, scaling=2.0)


def linear(rows, columns, *, seed=0, conv=False):
    layer = Conv1D(rows, columns) if conv else torch.nn.Linear(columns, rows)
    weight_of(layer).copy_(random(rows, columns, seed=seed))
    layer.bias.data.copy_(random(rows, seed=seed + 9))
    return layer.requires_grad_(False)


@given(rows=st.integers(1, 9), columns=st.integers(1, 80), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_rounding_equals_a_loop_over_blocks_and_channels(rows, columns, seed):
    weight = random(rows, columns, seed=seed)

    torch.testing.assert_close(nf4(weight), slow_nf4(weight), rtol=1e-6, atol=0)
    torch.testing.assert_close(int8(weight), slow_int8(weight), rtol=1e-5, atol=0)


def test_levels_are_the_quantiles_that_the_paper_describes():
    """Eight quantiles below zero, nine from zero, evenly spaced in probability up to the same tail, and scaled to 1."""
    tail = (1 / 32 + 1 / 30) / 2  # half a sixteenth and half a fifteenth, on average
    quantile = NormalDist().inv_cdf
    above = [quantile(0.5 + (0.5 - tail) * place / 8) for place in range(9)]
    below = [-quantile(0.5 + (0.5 - tail) * place / 7) for place in range(7, 0, -1)]

    assert [value / above[-1] for value in below + above] == pytest.approx(NF4_LEVELS, abs=1e-6)


def test_nf4_by_hand():
    weight = torch.zeros(1, NF4_BLOCK)
    weight[0, :4] = torch.tensor([2.0, -2.0, 0.1, 0.9])

    expected = [2.0, -2.0, 2 * NF4_LEVELS[8], 2 * NF4_LEVELS[12]]  # 0.05 is nearer 0.0796 than 0; 0.45 nearer 0.44
    assert nf4(weight)[0, :4].tolist() == pytest.approx(expected)
    assert nf4(weight)[0, 4:].eq(0).all()


def test_int8_by_hand():
    assert int8(torch.tensor([[127.0, 0.4, -63.6], [0.0, 0.0, 0.0]])).tolist() == [[127.0, 0.0, -64.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("shape", [(3, 64), (5, 37), (1, 1)])
def test_nf4_of_what_it_gave_is_the_same_bit_for_bit(shape):
    once = nf4(random(*shape))

    assert torch.equal(nf4(once), once)


def test_nf4_error_is_at_most_half_the_widest_gap():
    weight = random(16, 64)
    scale = weight.abs().amax(dim=1, keepdim=True)
    widest = max(b - a for a, b in pairwise(NF4_LEVELS))

    assert ((nf4(weight) - weight).abs() <= scale * (widest / 2) * (1 + 1e-5)).all()


def test_step_is_the_mean_distance_of_levels_in_the_block():
    weight = random(3, 50)  # 150 weights: blocks of 64, 64 and 22
    flat, step = weight.flatten(), nf4_step(weight).flatten()

    for start in (0, 64, 128):
        block = flat[start : start + 64].abs().max()
        gaps = torch.tensor(NF4_LEVELS).diff().mean() * block
        torch.testing.assert_close(step[start : start + 64], gaps.expand(len(step[start : start + 64])))


@pytest.mark.parametrize("conv", [False, True])
def test_layer_computes_with_the_rounded_weight_and_its_own_bias(conv):
    base, x = linear(7, 12, conv=conv), random(2, 5, 12, seed=3)

    found = RoundedLinear(base, nf4)(x)

    torch.testing.assert_close(found, functional.linear(x, nf4(random(7, 12)), base.bias))
    assert torch.equal(weight_of(base), random(7, 12))


@pytest.mark.parametrize("conv", [False, True])
def test_an_adapter_is_merged_before_rounding(conv):
    layer, x = anchored(linear(7, 12, conv=conv)), random(2, 5, 12, seed=3)

    exact = RoundedLinear(layer, lambda weight: weight)(x)
    rounded = RoundedLinear(layer, int8)(x)

    torch.testing.assert_close(exact, layer(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rounded, functional.linear(x, int8(merged_weight(layer)), layer.base.bias))


def test_what_an_adapter_adds_is_the_scaled_difference_of_its_products():
    layer = anchored(linear(7, 12))

    expected = 2.0 * (layer.b @ layer.a - layer.anchor_b @ layer.anchor_a)
    torch.testing.assert_close(added_weight(layer), expected.detach(), rtol=1e-4, atol=1e-5)
    assert not added_weight(layer).requires_grad


def test_half_precision_is_merged_in_float32_and_kept_in_half():
    layer = anchored(linear(7, 12).bfloat16())

    weight = weight_of(layer.base)
    assert torch.equal(merged_weight(layer), (weight.float() + added_weight(layer)).bfloat16())
    assert RoundedLinear(layer, nf4)(random(1, 12).bfloat16()).dtype == torch.bfloat16
    assert math.isfinite(float(nf4(weight).sum()))
