import torch

from core.unlearning.initializers.pissa import pissa


def test_product_is_the_best_approximation_of_the_weight():
    weight = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))
    pair, anchor = pissa(weight, rank=5, scaling=2.0)
    u, s, vh = torch.linalg.svd(weight)
    torch.testing.assert_close(2.0 * pair.b @ pair.a, u[:, :5] * s[:5] @ vh[:5])
    assert torch.equal(pair.a, anchor.a)
    assert torch.equal(pair.b, anchor.b)


def test_both_factors_carry_the_root_of_the_singular_values():
    weight = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))
    pair, _ = pissa(weight, rank=5, scaling=2.0)
    values = torch.linalg.svdvals(weight)[:5] / 2.0
    torch.testing.assert_close(pair.a @ pair.a.T, values.diag(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pair.b.T @ pair.b, values.diag(), atol=1e-5, rtol=1e-5)
