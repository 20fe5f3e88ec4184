"""The pair against the plain eigenproblem of ``C_r^-1 C_f``, and what it must do to inputs of either kind."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.unlearning.initializers.kronecker_fila import kronecker_fila


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moment(inputs):
    return inputs.T @ inputs / len(inputs)


def initial(weight, forget, retain, *, rank, epsilon=0.1):
    return kronecker_fila(
        weight,
        forget_inputs=moment(forget),
        retain_inputs=moment(retain),
        epsilon=epsilon,
        rank=rank,
        generator=torch.Generator().manual_seed(0),
    )


def projector(basis):
    """Onto the span of the columns, float64."""
    q, _ = torch.linalg.qr(basis.double())
    return q @ q.T


@given(
    seed=st.integers(0, 2**31 - 1),
    num_retain=st.integers(1, 40),
    width=st.integers(2, 16),
    rank=st.integers(1, 8),
    epsilon=st.floats(0.01, 10),
)
def test_directions_are_the_leading_generalised_eigenvectors(seed, num_retain, width, rank, epsilon):
    forget, retain = drawn(40, width, seed=seed), drawn(num_retain, width, seed=seed + 1)
    rank = min(rank, width)

    pair, anchor = initial(drawn(5, width), forget, retain, rank=rank, epsilon=epsilon)

    denominator = moment(retain).double() + epsilon * torch.eye(width)
    found = torch.linalg.eig(torch.linalg.solve(denominator, moment(forget).double()))  # the slow way: not symmetric
    order = found.eigenvalues.real.argsort()
    values, vectors = found.eigenvalues.real[order], found.eigenvectors.real[:, order]
    a = pair.a.double()
    torch.testing.assert_close(a @ a.T, torch.eye(rank).double(), atol=1e-5, rtol=0)
    inside = torch.linalg.eigvals(torch.linalg.solve(a @ denominator @ a.T, a @ moment(forget).double() @ a.T)).real
    assert sorted(inside.tolist()) == pytest.approx(sorted(values[-rank:].tolist()), rel=1e-3)
    if rank == width or values[-rank] > 1.01 * values[-rank - 1]:  # else the span is nobody's choice
        torch.testing.assert_close(a.T @ a, projector(vectors[:, -rank:]), atol=2e-3, rtol=0)
    assert torch.equal(pair.a, anchor.a)
    assert torch.equal(pair.b, anchor.b)


def test_pair_makes_of_its_directions_what_the_weight_makes_of_them():
    weight = drawn(12, 16)
    pair, _ = initial(weight, drawn(40, 16, seed=1), drawn(40, 16, seed=2), rank=5)
    torch.testing.assert_close(pair.b @ pair.a @ pair.a.T, weight @ pair.a.T)


def test_inputs_that_retain_texts_have_are_not_read():
    directions = torch.linalg.qr(drawn(16, 6))[0].T  # (6, in)
    retain = 100 * directions[3:]
    forget = torch.cat([directions[:3], retain])

    pair, _ = initial(drawn(12, 16), forget, retain, rank=3, epsilon=1e-3)

    assert (pair.a @ directions[3:].T).norm() < 1e-2
    torch.testing.assert_close((pair.a @ directions[:3].T).norm() ** 2, torch.tensor(3.0), atol=1e-2, rtol=0)


def test_rank_above_the_number_of_directions_is_filled_with_plain_lora():
    pair, _ = initial(drawn(12, 16), drawn(2, 16, seed=1), drawn(40, 16, seed=2), rank=5)
    assert (pair.a.shape, pair.b.shape) == ((5, 16), (12, 5))
    assert pair.b[:, :2].any(dim=0).all()
    assert not pair.b[:, 2:].any()
    assert pair.a[2:].any(dim=1).all()  # so a gradient reaches B


def test_inputs_that_neither_set_has_do_not_matter():
    wide = torch.zeros(40, 16)
    wide[:, :8] = drawn(40, 8, seed=1)
    pair, _ = initial(drawn(12, 16), wide, drawn(40, 16, seed=2), rank=4)
    assert torch.isfinite(pair.a).all()
    assert torch.isfinite(pair.b).all()
