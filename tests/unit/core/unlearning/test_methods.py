"""Every trained method of the catalog, on a tiny model."""

import itertools
import random
import typing
from dataclasses import replace

import pytest
import torch

from core.domain.catalog import METHOD_OPTIONS
from core.domain.errors import EmptyBatchError
from core.domain.options import TrainedOptions
from core.modeling.token_states import TokenStates
from core.unlearning.features import leading_directions, output_features
from core.unlearning.forget_loss import ForgetBatch, Surroundings
from core.unlearning.methods import forget_loss
from core.unlearning.step import FusedStep, Plan, TrainingData
from core.unlearning.take_step import take_step_for
from tests.fakes.tiny_models import VOCAB
from tests.unit.core.unlearning.conftest import adapted, base_model, rows

TRAINED = [name for name, options in METHOD_OPTIONS.items() if issubclass(options, TrainedOptions)]
DATA = TrainingData(forget=rows(5, seed=1), retain=rows(8, seed=2), rewritten=rows(5, seed=3, prompt=2))
SMALL = {"r": 4, "lora_alpha": 8, "batch_size": 4, "learning_rate": 1e-3}


def choices(name, option):
    return typing.get_args(METHOD_OPTIONS[name].model_fields[option].annotation)


# Any forget loss goes with whatever retain loss and initializer its options take; a tenth of the combinations, the same
# every time.
COMBINATIONS = random.Random(0).sample(
    [
        (name, *others)
        for name in TRAINED
        for others in itertools.product(choices(name, "retain_loss"), choices(name, "initializer"))
    ],
    30,
)


def train(options):
    """Take three steps and return what each saw and the adapter."""
    base = base_model()
    loss = forget_loss(options, Surroundings(base, DATA.forget, options.seed))
    adapter = adapted(base, options, forget=DATA.forget, retain=DATA.retain)
    kept_free = None
    if options.rol_weight:
        features = output_features(base, {name: layer.base for name, layer in adapter.layers.items()}, DATA.retain)
        kept_free = {name: leading_directions(value, count=4) for name, value in features.items()}
    step = take_step_for(FusedStep(base, adapter, loss, DATA, options, kept_free))
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=options.learning_rate, weight_decay=0.0)
    plans = [Plan(step=number, forgetting=True, retain_weight=options.retain_weight) for number in range(3)]
    return [step(plan, optimizer) for plan in plans], adapter


@pytest.mark.parametrize("name", TRAINED)
def test_method_trains_as_it_is_preset(name):
    losses, adapter = train(METHOD_OPTIONS[name](**SMALL))
    assert torch.tensor([loss.forget for loss in losses]).isfinite().all()
    assert all(tensor.isfinite().all() for tensor in adapter.tensors().values())
    assert any(not torch.equal(layer.b, layer.anchor_b) for layer in adapter.layers.values())


@pytest.mark.parametrize(("name", "retain_loss", "initializer"), COMBINATIONS)
def test_forget_loss_goes_with_any_retain_loss_and_any_initializer(name, retain_loss, initializer):
    losses, adapter = train(METHOD_OPTIONS[name](**SMALL, retain_loss=retain_loss, initializer=initializer))
    assert torch.tensor([loss.forget for loss in losses]).isfinite().all()
    assert all((loss.retain is None) == (retain_loss == "none") for loss in losses)
    assert all(tensor.isfinite().all() for tensor in adapter.tensors().values())


def made(name):
    base = base_model()
    return forget_loss(METHOD_OPTIONS[name](), Surroundings(base, DATA.forget, 0))


def batch(num_places, *, dtype=torch.float32):
    """Places of four rows of which each loss finds whatever it may need."""
    generator = torch.Generator().manual_seed(0)

    def states():
        return TokenStates(
            hidden=torch.randn(num_places, VOCAB, generator=generator).to(dtype),
            head=torch.nn.Identity(),
            target=torch.randint(VOCAB, (num_places,), generator=generator),
            row=torch.arange(num_places) % 4,
            chunk=max(1, num_places),
            reference=torch.randn(num_places, VOCAB, generator=generator).to(dtype),
        )

    return ForgetBatch(
        states=states(),
        place=torch.arange(num_places),
        hidden=torch.randn(num_places, 32, generator=generator).to(dtype),
        rewritten=states(),
    )


def at(whole, order):
    """The places of a batch in another order; its rewritten rows stay as they are."""
    return replace(whole, states=whole.states.where(order), place=whole.place[order], hidden=whole.hidden[order])


@pytest.mark.parametrize("name", TRAINED)
def test_batch_without_answer_tokens_is_refused(name):
    with pytest.raises(EmptyBatchError, match="no mean loss"):
        made(name)(batch(0))


@pytest.mark.parametrize("name", TRAINED)
def test_half_precision_logits_give_a_float32_loss(name):
    def in_full(states):
        return replace(states, hidden=states.hidden.float(), reference=states.reference.float())

    half = batch(12, dtype=torch.bfloat16)
    whole = replace(half, states=in_full(half.states), hidden=half.hidden.float(), rewritten=in_full(half.rewritten))
    loss = made(name)
    assert loss(half).dtype == torch.float32
    torch.testing.assert_close(loss(half), loss(whole))


@pytest.mark.parametrize("name", TRAINED)
def test_order_of_places_does_not_matter(name):
    loss, whole = made(name), batch(12)
    shuffled = at(whole, torch.randperm(12, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(loss(shuffled), loss(whole))


@pytest.mark.parametrize("name", TRAINED)
def test_places_seen_a_few_at_a_time_cost_the_same(name):
    def cost_and_gradient(chunk):
        whole = batch(12)
        hidden = whole.states.hidden.requires_grad_()
        rewritten = replace(whole.rewritten, chunk=chunk)
        value = made(name)(replace(whole, states=replace(whole.states, chunk=chunk), rewritten=rewritten))
        if not value.requires_grad:  # of hidden states alone
            return value, None
        return value, torch.autograd.grad(value, hidden)[0]

    torch.testing.assert_close(cost_and_gradient(5), cost_and_gradient(12), rtol=1e-5, atol=1e-7)
