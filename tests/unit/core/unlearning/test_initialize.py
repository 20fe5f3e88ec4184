import typing

import pytest
import torch

from core.domain.catalog import IhlOptions
from core.domain.options import Initializer
from core.modeling.adapter import target_linears, weight_of
from core.unlearning.initialize import RetainStatistics, initial_pairs, plain_pairs
from core.unlearning.initializers.kronecker_fila import kronecker_fila
from core.unlearning.moments import measure_moments
from tests.fakes.tiny_models import VOCAB
from tests.unit.core.unlearning.conftest import adapted, base_model, rows, statistics

INITIALIZERS = typing.get_args(Initializer)
STARTS = [*((name, "exact") for name in INITIALIZERS), ("fila", "paper")]
FORGET, RETAIN = rows(3, seed=1), rows(6, seed=2)


def options(initializer, **others):
    return IhlOptions(initializer=initializer, r=8, lora_alpha=16, **others)


def logits(base):
    ids = torch.randint(VOCAB, (3, 24), generator=torch.Generator().manual_seed(1))
    return base.model(input_ids=ids, use_cache=False).logits


@pytest.mark.parametrize("architecture", ["gpt2", "llama_gqa_untied"])
@pytest.mark.parametrize(("initializer", "fisher"), STARTS)
def test_model_with_a_fresh_adapter_is_the_base_model(initializer, fisher, architecture):
    base = base_model(architecture)
    before = logits(base)
    adapted(base, options(initializer, fisher=fisher), forget=FORGET, retain=RETAIN)
    torch.testing.assert_close(logits(base), before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("initializer", "fisher"), STARTS)
def test_gradient_reaches_every_rank_of_every_layer(initializer, fisher):
    base = base_model("llama_gqa_untied")
    adapter = adapted(
        base, options(initializer, fisher=fisher), forget=FORGET[:1], retain=RETAIN
    )  # one row: few directions
    logits(base).square().mean().backward()
    for layer in adapter.layers.values():
        assert (layer.a.grad.any(dim=1) | layer.b.grad.any(dim=0)).all()


@pytest.mark.parametrize(("initializer", "fisher"), STARTS)
def test_pairs_have_the_shapes_that_a_checkpoint_is_loaded_into(initializer, fisher):
    base = base_model("gpt2")
    layers, chosen = target_linears(base.model, "all-linear"), options(initializer, fisher=fisher)
    pairs = initial_pairs(base, layers, FORGET, statistics(base, layers, RETAIN, chosen), chosen).by_layer
    expected = plain_pairs(layers, chosen)
    assert pairs.keys() == expected.keys()
    for name in expected:
        for found, wanted in zip(pairs[name], expected[name], strict=True):
            assert (found.a.shape, found.b.shape) == (wanted.a.shape, wanted.b.shape)


@pytest.mark.parametrize(("initializer", "fisher"), STARTS)
def test_pairs_are_a_function_of_the_seed(initializer, fisher):
    tensors = [
        adapted(base_model(), options(initializer, fisher=fisher, seed=3), forget=FORGET, retain=RETAIN).tensors()
        for _ in range(2)
    ]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@pytest.mark.parametrize("initializer", ["fila", "kronecker_fila", "rila"])
def test_initializer_without_its_statistics_is_refused(initializer):
    base = base_model()
    with pytest.raises(ValueError, match=f"initializer {initializer} needs statistics"):
        initial_pairs(base, target_linears(base.model, "all-linear"), FORGET, RetainStatistics(), options(initializer))


def test_kronecker_start_reads_what_the_forget_rows_do_to_each_layer():
    base = base_model("gpt2")
    layers, chosen = target_linears(base.model, "all-linear"), options("kronecker_fila")
    retain = statistics(base, layers, RETAIN, chosen)

    pairs = initial_pairs(base, layers, FORGET, retain, chosen)

    name, layer = next(iter(layers.items()))
    moments = [measure_moments(base, layers, rows).by_layer[name] for rows in (FORGET, RETAIN)]
    epsilon = 0.01 * float(moments[1].diagonal().mean())
    expected, _ = kronecker_fila(
        weight_of(layer),
        forget_inputs=moments[0],
        retain_inputs=moments[1],
        epsilon=epsilon,
        rank=chosen.r,
        generator=torch.Generator().manual_seed(chosen.seed),
    )
    torch.testing.assert_close(pairs.by_layer[name][0].a, expected.a)
    torch.testing.assert_close(pairs.by_layer[name][0].b, expected.b)
    assert pairs.fisher.mode == "kronecker"
    assert pairs.fisher.epsilon_share == pytest.approx(0.01 / 1.01)  # of every layer, so of their sum


def test_only_fila_and_its_kronecker_form_report_fisher_information():
    base = base_model()
    layers = target_linears(base.model, "all-linear")
    for initializer in INITIALIZERS:
        chosen = options(initializer)
        pairs = initial_pairs(base, layers, FORGET, statistics(base, layers, RETAIN, chosen), chosen)
        assert (pairs.fisher is not None) == (initializer in {"fila", "kronecker_fila"})
