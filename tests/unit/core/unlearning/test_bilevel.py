"""The outer iteration against its definition, written out without any of the step's own arithmetic."""

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch
from torch.nn import functional

from core.domain.catalog import OfmuOptions
from core.domain.errors import DivergedError
from core.modeling.smooth_kernels import smooth_kernels
from core.unlearning.bilevel import FULL_STEP_NORM, LARGEST_PENALTY, BilevelStep
from core.unlearning.checkpoint import TrainingState
from core.unlearning.forget_loss import Needs
from core.unlearning.methods.inverted_hinge import InvertedHinge
from core.unlearning.step import FusedStep, Plan, TrainingData
from core.unlearning.training import Hooks, StopCheck, train
from tests.fakes.tiny_models import ARCHITECTURES
from tests.unit.core.unlearning.conftest import adapted, base_model, rows

DATA = TrainingData(forget=rows(7, seed=1), retain=rows(9, seed=2))
OPTIONS = OfmuOptions(
    batch_size=3,
    r=4,
    lora_alpha=8,
    learning_rate=1e-3,
    inner_steps=3,
    inner_learning_rate=1e-3,
    similarity_weight=0.3,
    penalty=0.5,
    penalty_growth=1.5,
    forget_weight=0.7,
    max_grad_norm=1e9,
)
PLAN = Plan(step=2, forgetting=True, retain_weight=1.5)
ARCHITECTURE = "gpt_neox"  # with layer normalisation and fused attention, the kernels that need care


@dataclass
class NotANumberAfter:
    """An inverted hinge loss whose gradient is not a number from some call on."""

    good: int
    needs: ClassVar[Needs] = Needs()
    calls: itertools.count = field(default_factory=itertools.count)

    def __call__(self, batch):
        value = InvertedHinge()(batch)
        return value if next(self.calls) < self.good else value * float("nan")


@dataclass(frozen=True)
class Saturated:
    """A forget loss that has nothing left to gain."""

    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch):
        return 0.0 * InvertedHinge()(batch)


def bilevel(options=OPTIONS, *, loss=None, architecture=ARCHITECTURE, data=DATA):
    """A step on a tiny model with an adapter that has been trained."""
    base = base_model(architecture)
    adapter = adapted(base, options, forget=data.forget, retain=data.retain, moved=0.02)
    return BilevelStep(FusedStep(base, adapter, loss or InvertedHinge(), data, options), options)


def descent(step):
    """Plain descent, so that an outer step shows its gradient."""
    return torch.optim.SGD(step.fused.adapter.parameters(), lr=step.options.learning_rate)


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def now(step):
    return flat(step.fused.adapter.parameters()).detach().clone()


def move(step, by):
    parameters = step.fused.adapter.parameters()
    pieces = by.split([parameter.numel() for parameter in parameters])
    with torch.no_grad():
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.add_(piece.view_as(parameter))


def losses(step, batch):
    with smooth_kernels():
        both = step.fused.losses(Plan(step=batch, forgetting=True, retain_weight=0.0))
    return both.forget, both.retain


def slope(step, batch):
    """The gradient of ``Phi`` as it is defined, which can be differentiated again, and the retain loss."""
    parameters, options = step.fused.adapter.parameters(), step.options
    forget, retain = losses(step, batch)
    rise = -options.forget_weight * forget
    a, b = (flat(torch.autograd.grad(loss, parameters, create_graph=True)) for loss in (rise, retain))
    phi = rise - options.similarity_weight * functional.cosine_similarity(a, b, dim=0)
    return flat(torch.autograd.grad(phi, parameters, create_graph=True)), retain


def outer_objective(step, batch, *, penalty):
    climb, retain = slope(step, batch)
    return PLAN.retain_weight * retain + penalty * climb.square().sum()


def test_outer_iteration_has_all_logits_at_once_where_memory_is_short():
    plain, short = bilevel(), bilevel()
    short = replace(short, fused=replace(short.fused, max_logit_bytes=1))
    for step in (plain, short):
        step(PLAN, descent(step))
    assert torch.equal(now(plain), now(short))


def test_outer_iteration_is_its_definition():
    step, slow = bilevel(), bilevel()
    step(PLAN, descent(step))

    start, rate = now(slow), OPTIONS.inner_learning_rate
    for batch in (8, 9, 10):  # each iteration goes through four: 0 to 3, 4 to 7, and this one 8 to 11
        climb = slope(slow, batch)[0].detach()
        move(slow, rate * math.sqrt(climb.numel()) * climb / climb.norm())
    climbed = now(slow) - start
    objective = outer_objective(slow, 11, penalty=0.5 * 1.5**2)
    gradient = flat(torch.autograd.grad(objective, slow.fused.adapter.parameters()))
    move(slow, -OPTIONS.learning_rate * gradient)

    assert gradient.norm() * OPTIONS.learning_rate > 0.01 * climbed.norm()  # or the comparison would say nothing of it
    torch.testing.assert_close(now(step) - start, now(slow) - start, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outer_gradient_is_that_of_the_differences_of_its_objective(architecture):
    step = bilevel(architecture=architecture)
    gradient = flat(step._outer_gradient(PLAN))
    direction = functional.normalize(gradient, dim=0)  # float32 sees differences best where they are largest
    values = []
    for width in (1e-3, -2e-3):
        move(step, width * direction)
        values.append(outer_objective(step, 11, penalty=step.penalty(PLAN.step)).item())
    assert (values[0] - values[1]) / 2e-3 == pytest.approx(float(gradient.norm()), rel=0.02)


def test_outer_gradient_is_clipped():
    options = OPTIONS.model_copy(update={"max_grad_norm": 0.1, "inner_learning_rate": 1e-12})
    step = bilevel(options)
    before = now(step)
    step(PLAN, descent(step))
    assert float((now(step) - before).norm()) == pytest.approx(0.1 * options.learning_rate, rel=1e-3)


def test_inner_steps_follow_the_schedule():
    moved = []
    for share in (1.0, 0.5):
        step = bilevel(OPTIONS.model_copy(update={"inner_steps": 1, "max_grad_norm": 1e-12}))
        before, optimizer = now(step), descent(step)
        optimizer.param_groups[0]["lr"] = share * OPTIONS.learning_rate
        step(PLAN, optimizer)
        moved.append(float((now(step) - before).square().mean().sqrt()))
    assert moved == pytest.approx([OPTIONS.inner_learning_rate, 0.5 * OPTIONS.inner_learning_rate], rel=1e-3)


def test_inner_steps_end_where_the_forget_loss_is_saturated():
    step = bilevel(OPTIONS.model_copy(update={"max_grad_norm": 1e-12}), loss=Saturated())
    before = now(step)
    step(PLAN, descent(step))
    torch.testing.assert_close(now(step), before, rtol=0, atol=1e-9)


def test_gradient_below_the_full_step_norm_makes_a_shorter_step():
    moved = []
    for weight in (1e-2, 1e-3):
        update = {"inner_steps": 1, "max_grad_norm": 1e-12, "similarity_weight": 0.0, "forget_weight": weight}
        step = bilevel(OPTIONS.model_copy(update=update))
        before = now(step)
        length = slope(step, 8)[0].norm().item()
        step(Plan(step=2, forgetting=True, retain_weight=1.0), descent(step))
        assert length < FULL_STEP_NORM
        moved.append(float((now(step) - before).norm()))
    assert moved[0] == pytest.approx(10 * moved[1], rel=1e-2)


def test_similarity_turns_the_gradients_apart():
    found = []
    for weight in (0.0, 100.0):
        options = OPTIONS.model_copy(update={"similarity_weight": weight, "max_grad_norm": 1e-12, "batch_size": 9})
        step = bilevel(options)
        step(PLAN, descent(step))
        forget, retain = losses(step, 0)
        parameters = step.fused.adapter.parameters()
        a, b = (flat(torch.autograd.grad(loss, parameters, retain_graph=True)) for loss in (-forget, retain))
        found.append(float(functional.cosine_similarity(a, b, dim=0)))
    assert found[1] < found[0] - 0.01


def test_losses_are_those_before_the_step():
    step = bilevel()
    forget, retain = losses(step, PLAN.step * 4)
    seen = step(PLAN, descent(step))
    assert (seen.forget, seen.retain) == pytest.approx((forget.item(), retain.item()), rel=1e-5)


def test_penalty_grows_with_the_step_up_to_a_bound():
    step = bilevel()
    assert [step.penalty(number) for number in range(3)] == pytest.approx([0.5, 0.75, 1.125])
    assert step.penalty(100_000) == pytest.approx(LARGEST_PENALTY)
    assert bilevel(OPTIONS.model_copy(update={"penalty": 0.0})).penalty(7) == 0.0


def test_repairing_is_an_ordinary_step():
    plan = Plan(step=2, forgetting=False, retain_weight=1.5)
    step, plain = bilevel(), bilevel()
    losses_of_step, losses_of_plain = step(plan, descent(step)), plain.fused(plan, descent(plain))
    assert losses_of_step == losses_of_plain
    assert losses_of_step.forget is None
    assert torch.equal(now(step), now(plain))


@pytest.mark.parametrize("good", range(4))
def test_gradient_that_is_not_finite_leaves_the_adapter_as_it_was(good):
    step = bilevel(loss=NotANumberAfter(good))
    before = now(step)
    remedy = "lower inner_learning_rate" if good < 3 else "lower learning_rate"
    with pytest.raises(DivergedError, match=f"not finite at step 3: {remedy}"):
        step(PLAN, descent(step))
    assert torch.equal(now(step), before)


def run(*, resume=None, save=lambda _: None, max_steps=12):
    update = {"max_steps": max_steps, "inner_steps": 2, "penalty": 0.01, "target_modules": ["q_proj", "c_fc"]}
    step = bilevel(OPTIONS.model_copy(update=update), architecture="gpt_neo")
    check = StopCheck(metrics={}, forgotten=False, margin=None, aim=0.02)
    hooks = Hooks(on_step=lambda _: None, measure=lambda: check, rows_a_measure=1, save=save)
    summary = train(step.fused.adapter, step, DATA, step.options, hooks, resume=resume)
    return summary, now(step)


def test_resumed_run_ends_in_the_same_bytes():
    saved = []
    whole_summary, whole = run(save=lambda state: saved.append(state.dump()))
    summary, resumed = run(resume=TrainingState.parse(saved[0]))
    assert summary.resumed_from_step == 10
    assert summary.trajectory == whole_summary.trajectory
    assert torch.equal(whole, resumed)


def test_training_lowers_both_losses():
    summary, _ = run(max_steps=20)
    first, last = summary.trajectory[0], summary.trajectory[-1]
    assert last.forget_loss < first.forget_loss
    assert last.retain_loss < first.retain_loss
