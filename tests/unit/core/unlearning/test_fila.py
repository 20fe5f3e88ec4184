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
    pair, anchor = fila(weight, row_importance=importance, rank=5, scaling=2.0, balanced=True)
    d = importance.sqrt()
    product = 2.0 * pair.b @ pair.a
    # Eckart-Young: the best rank-5 approximation of diag(d) W misses the norm of the other singular values.
    rest = torch.linalg.svdvals(d[:, None] * weight)[5:].norm()
    torch.testing.assert_close(weighted_error(weight, d, product), rest)
    assert torch.equal(pair.a, anchor.a)
    assert torch.equal(pair.b, anchor.b)


def test_full_rank_product_is_the_weight():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    pair, _ = fila(weight, row_importance=torch.arange(1.0, 7.0), rank=4, scaling=0.5, balanced=True)
    torch.testing.assert_close(0.5 * pair.b @ pair.a, weight)


@pytest.mark.parametrize("importance", [torch.zeros(6), torch.tensor([0.0, 0, 0, 1, 2, 3])])
def test_rows_without_importance_give_finite_factors(importance):
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    pair, _ = fila(weight, row_importance=importance, rank=2, scaling=2.0, balanced=True)
    assert torch.isfinite(pair.a).all()
    assert torch.isfinite(pair.b).all()


def test_importance_counts_where_most_rows_have_none():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    importance = torch.tensor([0.0, 0, 0, 0, 1, 9])
    pair, _ = fila(weight, row_importance=importance, rank=2, scaling=2.0, balanced=True)
    # Rank 2 suffices for the two rows that matter; with equal weights it would be spent on all six.
    torch.testing.assert_close((2.0 * pair.b @ pair.a)[4:], weight[4:], atol=1e-3, rtol=1e-3)


def test_rank_above_that_of_the_weight_is_filled_with_zeros():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    pair, _ = fila(weight, row_importance=torch.arange(1.0, 7.0), rank=9, scaling=0.5, balanced=True)
    assert (pair.a.shape, pair.b.shape) == ((9, 4), (6, 9))
    torch.testing.assert_close(0.5 * pair.b @ pair.a, weight)


def test_rank_above_that_of_a_layer_survives_export(tmp_path):
    model = tiny_model("llama_gqa_untied")  # k_proj is (16, 32)
    rows = probe_rows(model, seed=0)
    pairs = {
        name: fila(weight_of(layer), row_importance=torch.ones(layer.out_features), rank=24, scaling=2.0, balanced=True)
        for name, layer in target_linears(model, ["k_proj", "up_proj"]).items()
    }
    adapter = attach(model, pairs, scaling=2.0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.mul_(1.05)
    write_peft(to_portable(adapter), tmp_path, base_model="org/base", revision=None)
    loaded = PeftModel.from_pretrained(tiny_model("llama_gqa_untied"), tmp_path)
    torch.testing.assert_close(logits_of(loaded, rows), logits_of(model, rows), atol=2e-4, rtol=2e-4)


def test_balance_shares_the_norm_of_each_component_and_keeps_the_product():
    generator = torch.Generator().manual_seed(2)
    weight, importance = torch.randn(24, 16, generator=generator), 1e4 * torch.rand(24, generator=generator)

    published, _ = fila(weight, row_importance=importance, rank=5, scaling=2.0, balanced=False)
    pair, _ = fila(weight, row_importance=importance, rank=5, scaling=2.0, balanced=True)

    assert (published.a.norm(dim=1) > 10 * published.b.norm(dim=0)).all()  # by the scale of the importance alone
    torch.testing.assert_close(pair.a.norm(dim=1), pair.b.norm(dim=0))
    torch.testing.assert_close(pair.b @ pair.a, published.b @ published.a)


def test_balanced_pair_does_not_depend_on_the_scale_of_the_importance():
    generator = torch.Generator().manual_seed(3)
    weight, importance = torch.randn(8, 6, generator=generator), torch.rand(8, generator=generator)
    pairs = [
        fila(weight, row_importance=scale * importance, rank=3, scaling=2.0, balanced=True)[0] for scale in (1, 1e-6)
    ]
    torch.testing.assert_close(pairs[0].b @ pairs[0].a, pairs[1].b @ pairs[1].a)
    torch.testing.assert_close(pairs[0].a.abs(), pairs[1].a.abs(), atol=1e-4, rtol=1e-3)
