"""The batched pass against a loop over single examples, and the shrinkage against a known distribution."""

import pytest
import torch

from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import target_linears, weight_of
from core.unlearning import moments as module
from core.unlearning.law.down_projections import down_projections
from core.unlearning.moments import Moments, measure_moments, shrunk
from tests.fakes.tiny_models import ARCHITECTURES
from tests.unit.core.unlearning.conftest import altered, rows
from tests.unit.core.unlearning.law.conftest import encoder, facts, moment, tiny_base


def slow_moment(base, linear, examples):
    read = []
    handle = linear.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].flatten(0, -2)))
    for example in examples:
        base.model(input_ids=torch.tensor([example.tokens]))
    handle.remove()
    keys = torch.cat(read).double()
    return keys.T @ keys / len(keys)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_moments_equal_the_slow_loop(architecture):
    base, examples = tiny_base(architecture), encoder()(facts(5))
    (layer,) = down_projections(base.model, None)

    moments = measure_moments(base, {layer.name: layer.linear}, examples)

    assert moments.tokens == sum(len(example.tokens) for example in examples)
    torch.testing.assert_close(
        moments.by_layer[layer.name].double(), slow_moment(base, layer.linear, examples), rtol=1e-4, atol=1e-6
    )
    assert not layer.linear._forward_pre_hooks


def test_layer_that_does_not_run_on_every_token_is_refused_by_name():
    base, layers = altered(lambda mlp, x: mlp.down_proj(mlp.up_proj(x[:, 1:]).mean(dim=1, keepdim=True)))
    with pytest.raises(UnsupportedBaseModelError, match=r"layers\.0\.mlp\.up_proj .*every token"):
        measure_moments(base, layers, rows(2, seed=0))


@pytest.mark.parametrize("fitting", [1, 2, 100])
def test_moments_do_not_depend_on_how_many_fit_on_the_device(monkeypatch, fitting):
    base, examples = tiny_base("gpt2"), encoder()(facts(5))
    layers = target_linears(base.model, "all-linear")
    expected = measure_moments(base, layers, examples).by_layer
    widest = max(weight_of(layer).shape[1] for layer in layers.values())
    monkeypatch.setattr(module, "MAX_BYTES", fitting * 4 * widest**2)

    found = measure_moments(base, layers, examples).by_layer

    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_moments_survive_storage():
    moments = Moments({"a.b": moment(0, width=4).float()}, tokens=12)

    again = Moments.parse(moments.dump())

    assert again.tokens == 12
    assert torch.equal(again.by_layer["a.b"], moments.by_layer["a.b"])
    assert again.by_layer.keys() == {"a.b"}


def test_shrinkage_keeps_the_trace_and_makes_a_matrix_of_few_tokens_definite():
    sample = torch.randn(5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    few = sample.T @ sample / 5

    better = shrunk(few, tokens=5)

    torch.testing.assert_close(better.trace(), few.trace())
    assert torch.linalg.eigvalsh(few)[0] < 1e-12
    assert torch.linalg.eigvalsh(better)[0] > 1e-3


@pytest.mark.parametrize("tokens", [8, 40])
def test_shrunk_moment_is_closer_to_the_truth_than_the_sample(tokens):
    scales = torch.linspace(0.5, 2, 16, dtype=torch.float64)
    sample = scales * torch.randn(tokens, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, truth = sample.T @ sample / tokens, scales.square().diag()

    assert (shrunk(found, tokens=tokens) - truth).norm() < (found - truth).norm()


def test_many_tokens_leave_the_moment_as_it_is():
    exact = moment(2, width=6)

    torch.testing.assert_close(shrunk(exact, tokens=10**9), exact)


def test_a_moment_without_directions_stays():
    torch.testing.assert_close(shrunk(2 * torch.eye(3), tokens=1), 2 * torch.eye(3, dtype=torch.float64))
