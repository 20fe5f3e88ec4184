"""The fused step against the slow obvious one: every row alone, without padding, in a pass of its own."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from core.data.batches import training_batch
from core.data.corpus import Example
from core.domain.catalog import IhlOptions, RegluOptions
from core.domain.errors import DivergedError
from core.modeling.token_states import MAX_LOGIT_BYTES, TokenStates
from core.unlearning.checkpoint import TrainingState
from core.unlearning.features import leading_directions, output_features
from core.unlearning.forget_loss import ForgetBatch, Needs
from core.unlearning.methods.gradient_ascent import GradientAscent
from core.unlearning.methods.inverted_hinge import InvertedHinge
from core.unlearning.methods.negative_preference import NegativePreference
from core.unlearning.methods.random_labels import RandomLabels
from core.unlearning.methods.refusal_preference import RefusalPreference
from core.unlearning.methods.representation_misdirection import RepresentationMisdirection
from core.unlearning.step import FusedStep, Plan, TrainingData, content_places, moved, orthogonality_penalty
from tests.fakes.tiny_models import VOCAB
from tests.unit.core.unlearning.conftest import adapted, base_model, rows

FORGET, RETAIN, REFUSED = rows(7, seed=1), rows(9, seed=2), rows(7, seed=3, prompt=2)
DATA = TrainingData(forget=FORGET, retain=RETAIN, rewritten=REFUSED)
OPTIONS = IhlOptions(batch_size=4, r=4, lora_alpha=8, forget_weight=0.7, max_grad_norm=1e9)
PLAN = Plan(step=1, forgetting=True, retain_weight=1.5)
THREE_PLACES = 3 * VOCAB * 4  # bytes of their logits: far fewer places than a batch has
LOSSES = {
    "logits": GradientAscent(),
    "places": RandomLabels(torch.arange(1000) * 37 % 256),
    "reference": NegativePreference(),
    "hidden": RepresentationMisdirection(torch.ones(32), 1.0, Needs(hidden=0)),
    "rewritten": RefusalPreference(),
}


@dataclass(frozen=True)
class NotANumber:
    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch):
        return batch.states.hidden.sum() * float("nan")


def fused(forget_loss, options=OPTIONS, *, shift=0.02, architecture="llama_gqa_untied", kept_free=None, packs=False):
    """A step on a tiny model, with an adapter that has been trained or, without a shift, has not."""
    base = base_model(architecture)
    adapter = adapted(base, options, forget=FORGET, retain=RETAIN, moved=shift)
    return FusedStep(base, adapter, forget_loss, DATA, options, kept_free, packs)


def retain_directions(count):
    base = base_model("llama_gqa_untied")
    layers = adapted(base, OPTIONS, forget=FORGET, retain=RETAIN).layers
    features = output_features(base, {name: layer.base for name, layer in layers.items()}, RETAIN)
    return {name: leading_directions(value, count=count) for name, value in features.items()}


def chosen(examples, options, *, seed):
    return training_batch(examples, batch_size=options.batch_size, step=PLAN.step, seed=seed)


def slow_states(model, examples, *, trailing, untouched=None):
    """Logits at the labels of each example, with its trailing tokens or without; they are their own hidden states."""
    logits, target, row = [], [], []
    for place, example in enumerate(examples):
        ids = torch.tensor([example.tokens])
        last = len(example.tokens) - (0 if trailing else example.num_trailing)
        logits.append(model(input_ids=ids, use_cache=False).logits[0, example.first_label - 1 : last - 1])
        target.append(ids[0, example.first_label : last])
        row.append(torch.full_like(target[-1], place))
    labels = torch.cat(target)
    base = None if untouched is None else slow_states(untouched, examples, trailing=trailing).hidden
    return TokenStates(torch.cat(logits), torch.nn.Identity(), labels, torch.cat(row), len(labels), base)


def slow_hidden(model, examples):
    found = []
    for example in examples:
        states = model(input_ids=torch.tensor([example.tokens]), output_hidden_states=True).hidden_states[1]
        found.append(states[0, example.first_label - 1 : len(example.tokens) - example.num_trailing - 1])
    return torch.cat(found)


def slow_forget_loss(step, untouched):
    model, places = step.base.model, chosen(FORGET, step.options, seed=step.options.seed)
    answers, refused = [FORGET[at] for at in places], [REFUSED[at] for at in places]
    numbers = iter(range(1000))
    number_of = [[next(numbers) for _ in example.answer] for example in FORGET]
    batch = ForgetBatch(
        states=slow_states(model, answers, trailing=False, untouched=untouched),
        place=torch.tensor([number for at in places for number in number_of[at]]),
        hidden=slow_hidden(model, answers),
        rewritten=slow_states(model, refused, trailing=False, untouched=untouched),
    )
    return step.forget_loss(batch)


def slow_retain_loss(step, untouched):
    """A mean over all labels of all rows, trailing ones included; the divergence as its definition writes it."""
    places = chosen(RETAIN, step.options, seed=step.options.seed + 7919)
    kept = [RETAIN[at] for at in places]
    states = slow_states(step.base.model, kept, trailing=True, untouched=untouched)
    if step.options.retain_loss == "cross_entropy":
        return functional.cross_entropy(states.hidden, states.target)
    p = states.reference.softmax(-1)
    return (p * (p.log() - states.hidden.log_softmax(-1))).sum(-1).mean()


def take(step, *, rate=0.0):
    """Take the step, by default without moving, and return what it saw."""
    return step(PLAN, torch.optim.SGD(step.adapter.parameters(), lr=rate))


def gradients(step):
    return [parameter.grad for parameter in step.adapter.parameters()]


def copied(step):
    return [parameter.detach().clone() for parameter in step.adapter.parameters()]


@pytest.mark.parametrize("architecture", ["gpt_neo", "llama_gqa_untied"])
@pytest.mark.parametrize("retain_loss", ["cross_entropy", "kl"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("packs", [False, True])
def test_losses_equal_the_slow_passes(loss, retain_loss, architecture, packs):
    options = OPTIONS.model_copy(update={"retain_loss": retain_loss})
    step = fused(LOSSES[loss], options, architecture=architecture, packs=packs)
    untouched = base_model(architecture).model
    losses = step.losses(PLAN)
    torch.testing.assert_close(losses.forget, slow_forget_loss(step, untouched), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses.retain, slow_retain_loss(step, untouched), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("max_logit_bytes", [MAX_LOGIT_BYTES, THREE_PLACES])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("packs", [False, True])
def test_gradient_is_that_of_the_weighted_sum_of_both_losses(loss, packs, max_logit_bytes):
    step, untouched = fused(LOSSES[loss], packs=packs), base_model("llama_gqa_untied").model
    step = replace(step, max_logit_bytes=max_logit_bytes)
    take(step)
    total = 0.7 * slow_forget_loss(step, untouched) + 1.5 * slow_retain_loss(step, untouched)
    for found, expected in zip(gradients(step), torch.autograd.grad(total, step.adapter.parameters()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_packed_rows_share_lines():
    step, widths = fused(GradientAscent(), packs=True), []
    step.base.model.model.register_forward_pre_hook(
        lambda _module, _inputs, given: widths.append(given["input_ids"].shape), with_kwargs=True
    )
    step.losses(PLAN)
    assert widths[0][0] < 2 * OPTIONS.batch_size


@pytest.mark.parametrize("radius", [0.0, 0.1])
def test_step_makes_logits_of_few_places_at_once_where_memory_is_short(radius):
    options = OPTIONS.model_copy(update={"sharpness_radius": radius})
    step, seen = replace(fused(LOSSES["reference"], options), max_logit_bytes=THREE_PLACES), []
    step.base.model.get_output_embeddings().register_forward_hook(lambda *passed: seen.append(len(passed[2])))
    take(step)
    assert max(seen) == 3


def test_trailing_tokens_are_kept_but_not_forgotten():
    def ended_by(token):
        ended = [
            [Example(row.id, (*row.tokens[:-1], token), row.first_label, 1) for row in part]
            for part in (FORGET, RETAIN)
        ]
        return replace(fused(GradientAscent()), data=TrainingData(*ended)).losses(PLAN)

    assert torch.equal(ended_by(3).forget, ended_by(4).forget)
    assert not torch.equal(ended_by(3).retain, ended_by(4).retain)


def test_either_side_can_be_left_out():
    step = fused(GradientAscent())
    both, forget, retain = step.losses(PLAN), step.losses(PLAN, retain=False), step.losses(PLAN, forget=False)
    repair = step.losses(Plan(step=1, forgetting=False, retain_weight=1.5))
    assert forget.retain is retain.forget is repair.forget is None
    torch.testing.assert_close(forget.forget, both.forget)
    torch.testing.assert_close(retain.retain, both.retain)
    assert torch.equal(repair.retain, retain.retain)


def test_method_without_a_retain_loss_passes_no_retain_row():
    options = OPTIONS.model_copy(update={"retain_loss": "none"})
    step = replace(fused(GradientAscent(), options), data=TrainingData(forget=FORGET, retain=[]))
    assert take(step).retain is None


@pytest.mark.parametrize(
    ("loss", "options", "passes"),
    [
        ("logits", {}, 1),
        ("logits", {"retain_loss": "kl"}, 2),
        ("reference", {}, 2),
        ("reference", {"retain_loss": "kl"}, 2),
        ("hidden", {}, 1),
        ("rewritten", {}, 2),
        ("logits", {"sharpness_radius": 0.1}, 3),
        ("logits", {"sharpness_radius": 0.1, "retain_loss": "kl"}, 4),
        ("reference", {"sharpness_radius": 0.1}, 5),
    ],
)
def test_step_makes_no_more_forward_passes_than_it_needs(loss, options, passes):
    step = fused(LOSSES[loss], OPTIONS.model_copy(update=options))
    seen = []
    step.base.model.model.register_forward_hook(lambda *_: seen.append(1))
    take(step)
    assert len(seen) == passes


@given(st.data())
def test_content_places_are_the_numbers_of_the_tokens(data):
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2)), min_size=1))
    examples = [
        Example(str(at), tuple(range(prompt + answer + trailing)), prompt, trailing)
        for at, (prompt, answer, trailing) in enumerate(shapes)
    ]
    picked = data.draw(st.lists(st.integers(0, len(examples) - 1), min_size=1, max_size=9))
    everything = [(at, token) for at, example in enumerate(examples) for token in example.answer]
    found = [everything[number] for number in content_places(examples, picked).tolist()]
    assert found == [(at, token) for at in picked for token in examples[at].answer]


def test_kl_is_zero_at_the_start_and_positive_after_a_step():
    step = fused(GradientAscent(), OPTIONS.model_copy(update={"retain_loss": "kl"}), shift=0.0)
    assert take(step, rate=0.1).retain == 0
    assert take(step).retain > 0


def test_step_on_a_fresh_adapter_compares_with_itself():
    loss = take(fused(NegativePreference(beta=0.5), shift=0.0)).forget
    assert loss == pytest.approx(2 / 0.5 * 0.6931472)


def test_gradient_is_clipped():
    step = fused(GradientAscent(), OPTIONS.model_copy(update={"max_grad_norm": 0.01}))
    take(step)
    assert torch.stack([gradient.norm() for gradient in gradients(step)]).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("radius", [0.0, 0.1])
def test_loss_that_is_not_finite_leaves_the_adapter_as_it_was(radius):
    step = fused(NotANumber(), OPTIONS.model_copy(update={"sharpness_radius": radius}))
    before = copied(step)
    with pytest.raises(DivergedError, match="at step 2"):
        take(step, rate=1.0)
    assert all(torch.equal(*pair) for pair in zip(before, copied(step), strict=True))


def test_checkpoint_holds_layers_that_no_loss_depends_on():
    step = fused(LOSSES["hidden"], OPTIONS.model_copy(update={"retain_loss": "none"}))
    optimizer = torch.optim.AdamW(step.adapter.parameters(), lr=0.01, weight_decay=0.0)
    step(PLAN, optimizer)
    TrainingState.capture(step.adapter, optimizer, [], step=1, forgotten=False, remaining=None, best=None)
    moved_layers = {name for name, layer in step.adapter.layers.items() if layer.b.grad.any()}
    assert moved_layers == {name for name in step.adapter.layers if ".layers.0." in name}


def slow_sharp_gradients(step, untouched):
    """Sharpness-aware minimisation as it is defined, each pass by itself."""
    parameters, options = step.adapter.parameters(), step.options
    here = torch.autograd.grad(slow_forget_loss(step, untouched), parameters, materialize_grads=True)
    length = sum(gradient.square().sum() for gradient in here).sqrt()
    before = copied(step)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, here, strict=True):
            parameter.add_(options.sharpness_radius * gradient / length)
    uphill = torch.autograd.grad(slow_forget_loss(step, untouched), parameters, materialize_grads=True)
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    rest = torch.zeros((), requires_grad=True)
    if options.retain_loss != "none":
        rest = rest + PLAN.retain_weight * slow_retain_loss(step, untouched)
    if step.kept_free is not None:
        rest = rest + options.rol_weight * orthogonality_penalty(step.adapter, step.kept_free)
    kept = torch.autograd.grad(rest, parameters, materialize_grads=True, allow_unused=True)
    return [options.forget_weight * forget + retain for forget, retain in zip(uphill, kept, strict=True)]


@pytest.mark.parametrize("retain_loss", ["cross_entropy", "kl", "none"])
@pytest.mark.parametrize("loss", ["logits", "reference", "hidden"])
def test_sharp_step_takes_the_forget_gradient_uphill_and_the_rest_in_place(loss, retain_loss):
    rol_weight = 0.3 if retain_loss == "cross_entropy" else 0.0
    options = OPTIONS.model_copy(update={"sharpness_radius": 0.5, "retain_loss": retain_loss, "rol_weight": rol_weight})
    kept_free = retain_directions(3) if rol_weight else None
    step, untouched = fused(LOSSES[loss], options, kept_free=kept_free), base_model("llama_gqa_untied").model
    before = copied(step)
    seen = take(step)
    assert all(torch.equal(*pair) for pair in zip(before, copied(step), strict=True))
    for found, expected in zip(gradients(step), slow_sharp_gradients(step, untouched), strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-5)
    # The losses that are told are those in place.
    assert seen.forget == pytest.approx(slow_forget_loss(step, untouched).item(), rel=1e-4, abs=1e-5)
    assert (seen.retain is None) == (retain_loss == "none")


def test_sharp_step_that_only_repairs_is_a_plain_one():
    repair = Plan(step=1, forgetting=False, retain_weight=1.5)
    plain, sharp = (
        fused(GradientAscent()),
        fused(GradientAscent(), OPTIONS.model_copy(update={"sharpness_radius": 0.5})),
    )
    for step in (plain, sharp):
        step(repair, torch.optim.SGD(step.adapter.parameters(), lr=0.0))
    assert all(torch.equal(*pair) for pair in zip(gradients(plain), gradients(sharp), strict=True))


def test_moved_parameters_return_exactly_even_after_an_error():
    parameters = [torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()]
    before = parameters[0].detach().clone()
    by = torch.full((3, 3), 1e-3)
    with moved(parameters, [by]):
        torch.testing.assert_close(parameters[0].detach(), before + by)
    assert torch.equal(parameters[0].detach(), before)
    with pytest.raises(RuntimeError, match="stop"), moved(parameters, [by]):
        raise RuntimeError("stop")
    assert torch.equal(parameters[0].detach(), before)


@pytest.mark.parametrize("initializer", ["lora", "pissa", "rila", "fila"])
def test_penalty_is_zero_at_the_start_and_the_sum_of_squares_along_the_directions_after(initializer):
    options, kept_free = OPTIONS.model_copy(update={"initializer": initializer}), retain_directions(3)
    assert orthogonality_penalty(fused(GradientAscent(), options, shift=0.0).adapter, kept_free) == 0
    adapter = fused(GradientAscent(), options).adapter
    expected = sum(
        (kept_free[name].T @ (layer.b @ layer.a - layer.anchor_b @ layer.anchor_a)).square().sum()
        for name, layer in adapter.layers.items()
    )
    torch.testing.assert_close(orthogonality_penalty(adapter, kept_free), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("initializer", ["lora", "rila"])
def test_penalty_keeps_what_the_adapter_writes_out_of_the_retain_directions(initializer):
    kept_free = retain_directions(3)

    def share_along_the_directions(weight):
        options = RegluOptions(initializer=initializer, batch_size=7, r=4, lora_alpha=8, rol_weight=weight)
        step = fused(InvertedHinge(), options, shift=0.0, kept_free=kept_free)
        optimizer = torch.optim.AdamW(step.adapter.parameters(), lr=1e-2, weight_decay=0.0)
        for number in range(20):
            step(Plan(step=number, forgetting=True, retain_weight=2.0), optimizer)
        written = {n: (x.b @ x.a - x.anchor_b @ x.anchor_a).detach() for n, x in step.adapter.layers.items()}
        along = sum((kept_free[name].T @ delta).square().sum() for name, delta in written.items())
        return along / sum(delta.square().sum() for delta in written.values())

    assert share_along_the_directions(10.0) < share_along_the_directions(0.0) / 20


def test_penalty_without_its_directions_is_refused():
    step = fused(GradientAscent(), OPTIONS.model_copy(update={"rol_weight": 0.3}))
    with pytest.raises(ValueError, match="directions to keep free"):
        take(step)
