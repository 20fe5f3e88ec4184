import pytest
import torch

from core.data.corpus import Example
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.base_model import BaseModel
from core.unlearning.forget_loss import Needs, Surroundings
from core.unlearning.methods.representation_misdirection import RepresentationMisdirection
from tests.fakes.tiny_models import VOCAB, byte_tokenizer, tiny_model
from tests.unit.core.unlearning.methods.conftest import drawn, forget_batch


def surroundings(*, seed=0):
    generator = torch.Generator().manual_seed(7)
    forget = [
        Example(str(place), tuple(torch.randint(VOCAB, (length,), generator=generator).tolist()), 3, 1)
        for place, length in enumerate((9, 14, 6))
    ]
    base = BaseModel(model=tiny_model("llama_tied"), tokenizer=byte_tokenizer(), path=None)
    return Surroundings(base=base, forget=forget, seed=seed)


def states_of_content(around, layer):
    """One forward pass an example, without padding: what predicts each content token."""
    found = []
    for example in around.forget:
        hidden = around.base.model(input_ids=torch.tensor([example.tokens]), output_hidden_states=True).hidden_states
        last = len(example.tokens) - example.num_trailing
        found.append(hidden[layer + 1][0, example.first_label - 1 : last - 1])
    return torch.cat(found)


def test_value_by_hand():
    hidden = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    loss = RepresentationMisdirection(target=torch.tensor([1.0, 1.0]), scale=2.0, needs=Needs(hidden=0))
    expected = ((0 + 1) + (4 + 1)) / 4 / 2.0
    assert loss(forget_batch(torch.zeros(2, 3), [0, 0], hidden=hidden)).item() == pytest.approx(expected)


def test_state_at_the_target_costs_nothing():
    loss = RepresentationMisdirection.towards_random(surroundings(), layer=0, steering=2.0)
    hidden = loss.target.repeat(3, 1)
    assert loss(forget_batch(torch.zeros(3, 5), [0, 0, 0], hidden=hidden)) == 0


def test_gradient_leads_straight_to_the_target():
    hidden, target = drawn(2, 4).requires_grad_(), drawn(4, seed=1)
    loss = RepresentationMisdirection(target=target, scale=0.5, needs=Needs(hidden=0))
    value = loss(forget_batch(torch.zeros(2, 3), [0, 0], hidden=hidden))
    (found,) = torch.autograd.grad(value, hidden)
    torch.testing.assert_close(found, 2 * (hidden.detach() - target) / 8 / 0.5)


def test_target_is_as_long_as_asked_for_and_scaled_to_the_states():
    around = surroundings()
    loss = RepresentationMisdirection.towards_random(around, layer=0, steering=2.0)
    squares = states_of_content(around, 0).square()
    torch.testing.assert_close(loss.target.norm(), 2.0 * squares.sum(-1).mean().sqrt())
    assert loss.scale == pytest.approx(squares.mean().item(), rel=1e-5)
    assert (loss.target > 0).all()  # the published draw is from [0, 1)


def test_target_is_a_function_of_the_seed():
    first, second, other = (
        RepresentationMisdirection.towards_random(surroundings(seed=seed), layer=0, steering=2.0).target
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_layer_is_half_of_the_depth_unless_chosen():
    around = surroundings()
    assert RepresentationMisdirection.towards_random(around, layer=None, steering=2.0).needs == Needs(hidden=1)
    assert RepresentationMisdirection.towards_random(around, layer=0, steering=2.0).needs == Needs(hidden=0)


def test_layer_that_the_model_does_not_have_is_refused():
    with pytest.raises(UnsupportedBaseModelError, match="layer is 2, but the decoder layers are 0 to 1"):
        RepresentationMisdirection.towards_random(surroundings(), layer=2, steering=2.0)


def test_missing_hidden_states_are_refused():
    loss = RepresentationMisdirection(target=torch.zeros(4), scale=1.0, needs=Needs(hidden=0))
    with pytest.raises(ValueError, match="hidden states"):
        loss(forget_batch(torch.zeros(2, 3), [0, 0]))
