import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.unlearning.initializers.rila import rila


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def initial(weight, forget, retain, *, rank, beta=0.7):
    generator = torch.Generator().manual_seed(0)
    return rila(weight, forget_features=forget, retain_features=retain, rank=rank, beta=beta, generator=generator)


def difference(forget, retain, beta, *, ridge=0.0):
    """``(1 - beta) C_f - beta C_r`` from covariance matrices, float64."""

    def covariance(features):
        identity = torch.eye(features.shape[1]).double()
        return features.double().T @ features.double() / len(features) + ridge * identity

    return (1 - beta) * covariance(forget) - beta * covariance(retain)


@pytest.mark.parametrize(("num_forget", "num_retain"), [(12, 9), (40, 50)])
def test_pair_equals_the_published_definition(num_forget, num_retain):
    weight, forget, retain = drawn(24, 16), 3 * drawn(num_forget, 24, seed=1), drawn(num_retain, 24, seed=2)
    pair, anchor = initial(weight, forget, retain, rank=5)
    _, vectors = torch.linalg.eigh(difference(forget, retain, 0.7, ridge=1e-4))
    b = vectors.flip(1)[:, :5].float()
    b = b * (b * pair.b).sum(0).sign()  # an eigenvector's sign is nobody's choice
    torch.testing.assert_close(pair.b, b, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pair.a, b.T @ weight, atol=1e-4, rtol=1e-4)
    assert torch.equal(pair.a, anchor.a)
    assert torch.equal(pair.b, anchor.b)


@given(
    seed=st.integers(0, 2**31 - 1),
    num_forget=st.integers(1, 12),
    num_retain=st.integers(1, 12),
    width=st.integers(1, 16),
    rank=st.integers(1, 20),
    beta=st.floats(0, 1),
)
def test_directions_are_orthonormal_and_hold_the_largest_positive_eigenvalues(
    seed, num_forget, num_retain, width, rank, beta
):
    forget, retain = drawn(num_forget, width, seed=seed), drawn(num_retain, width, seed=seed + 1)
    pair, _ = initial(drawn(width, 3), forget, retain, rank=rank, beta=beta)
    assert (pair.a.shape, pair.b.shape) == ((rank, 3), (width, rank))
    matrix = difference(forget, retain, beta)
    b = pair.b[:, pair.b.any(dim=0)].double()
    torch.testing.assert_close(b.T @ b, torch.eye(b.shape[1]).double(), atol=1e-5, rtol=0)
    values = torch.linalg.eigvalsh(matrix).flip(0)[:rank].clamp_min(0)
    torch.testing.assert_close((b.T @ matrix @ b).trace(), values.sum(), atol=1e-4, rtol=1e-4)


def test_product_is_the_weights_part_that_writes_along_the_directions():
    weight = drawn(24, 16)
    pair, _ = initial(weight, drawn(12, 24, seed=1), drawn(9, 24, seed=2), rank=5)
    torch.testing.assert_close(pair.b @ pair.a, pair.b @ pair.b.T @ weight)


def test_directions_that_retain_texts_have_as_well_are_not_chosen():
    directions = torch.linalg.qr(drawn(24, 6))[0].T
    pair, _ = initial(drawn(24, 16), directions, 3 * directions[3:], rank=6)
    assert int(pair.b.any(dim=0).sum()) == 3
    torch.testing.assert_close(pair.b.T @ directions[3:].T, torch.zeros(6, 3), atol=1e-5, rtol=0)


def test_rank_above_the_number_of_directions_is_filled_with_plain_lora():
    pair, _ = initial(drawn(24, 16), drawn(2, 24, seed=1), drawn(9, 24, seed=2), rank=5)
    assert pair.b[:, :2].any(dim=0).all()
    assert not pair.b[:, 2:].any()
    assert pair.a[2:].any(dim=1).all()  # so a gradient reaches B
    assert pair.a[2:].abs().max() <= 1 / 4  # PEFT's bound, 1 / sqrt(in)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_extremes_of_beta(beta):
    pair, _ = initial(drawn(24, 16), drawn(4, 24, seed=1), drawn(9, 24, seed=2), rank=8, beta=beta)
    # With the retain covariance alone nothing is positive; with the forget covariance alone as many as examples.
    assert int(pair.b.any(dim=0).sum()) == (4 if beta == 0 else 0)
