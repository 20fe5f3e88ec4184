import pytest
import torch
from peft import PeftModel

from core.modeling.adapter import attach, target_linears, weight_of
from core.packaging.portable import to_portable, write_peft
from core.packaging.verify import logits_of, probe_rows
from core.unlearning.initializers.fila import fila
from tests.fakes.tiny_models import tiny_model


def weighted_error(weight, d, product):
    return (d[:, None] * (weight - product)).norm()


def test_product_is_the_best_weighted_approximation():
    generator = torch.Generator().manual_seed(0)
    weight, importance = torch.randn(24, 16, generator=generator), torch.rand(24, generator=generator)
    pair, anchor = fila(weight, row_importance=importance, rank=5, scaling=2.0)
    d = importance.sqrt()
    product = 2.0 * pair.b @ pair.a
    # Eckart-Young: the best rank-5 approximation of diag(d) W misses the norm of the other singular values.
    rest = torch.linalg.svdvals(d[:, None] * weight)[5:].norm()
    torch.testing.assert_close(weighted_error(weight, d, product), rest)
    assert torch.equal(pair.a, anchor.a)
    assert torch.equal(pair.b, anchor.b)


def test_full_rank_product_is_the_weight():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    pair, _ = fila(weight, row_importance=torch.arange(1.0, 7.0), rank=4, scaling=0.5)
    torch.testing.assert_close(0.5 * pair.b @ pair.a, weight)


@pytest.mark.parametrize("importance", [torch.zeros(6), torch.tensor([0.0, 0, 0, 1, 2, 3])])
def test_rows_without_importance_give_finite_factors(importance):
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    pair, _ = fila(weight, row_importance=importance, rank=2, scaling=2.0)
    assert torch.isfinite(pair.a).all()
    assert torch.isfinite(pair.b).all()


def test_importance_counts_where_most_rows_have_none():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    importance = torch.tensor([0.0, 0, 0, 0, 1, 9])
    pair, _ = fila(weight, row_importance=importance, rank=2, scaling=2.0)
    # Rank 2 suffices for the two rows that matter; with equal weights it would be spent on all six.
    torch.testing.assert_close((2.0 * pair.b @ pair.a)[4:], weight[4:], atol=1e-3, rtol=1e-3)


def test_rank_above_that_of_the_weight_is_filled_with_zeros():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    pair, _ = fila(weight, row_importance=torch.arange(1.0, 7.0), rank=9, scaling=0.5)
    assert (pair.a.shape, pair.b.shape) == ((9, 4), (6, 9))
    torch.testing.assert_close(0.5 * pair.b @ pair.a, weight)


def test_rank_above_that_of_a_layer_survives_export(tmp_path):
    model = tiny_model("llama_gqa_untied")  # k_proj is (16, 32)
    rows = probe_rows(model, seed=0)
    pairs = {
        name: fila(weight_of(layer), row_importance=torch.ones(layer.out_features), rank=24, scaling=2.0)
        for name, layer in target_linears(model, ["k_proj", "up_proj"]).items()
    }
    adapter = attach(model, pairs, scaling=2.0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.mul_(1.05)
    write_peft(to_portable(adapter), tmp_path, base_model="org/base", revision=None)
    loaded = PeftModel.from_pretrained(tiny_model("llama_gqa_untied"), tmp_path)
    torch.testing.assert_close(logits_of(loaded, rows), logits_of(model, rows), atol=2e-4, rtol=2e-4)
