import json
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load
from safetensors.torch import save as save_tensors

from core.data.corpus import Example
from core.domain.catalog import LokuOptions, OfmuOptions
from core.domain.errors import DivergedError
from core.domain.report import TrajectoryPoint
from core.modeling.adapter import attach, target_linears
from core.unlearning.checkpoint import TrainingState
from core.unlearning.forget_loss import Needs
from core.unlearning.initialize import RetainStatistics, initial_pairs
from core.unlearning.methods.inverted_hinge import InvertedHinge
from core.unlearning.step import FusedStep, StepLosses, TrainingData
from core.unlearning.training import Hooks, StopCheck, is_destroyed, learning_rate, retain_weight, train
from tests.fakes.tiny_models import VOCAB
from tests.unit.core.unlearning.conftest import base_model, statistics


def rows(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        Example(
            id=str(place),
            tokens=tuple(torch.randint(VOCAB, (8 + place % 5,), generator=generator).tolist()),
            first_label=3,
            num_trailing=1,
        )
        for place in range(count)
    ]


@dataclass(frozen=True)
class NotANumber:
    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch):
        return batch.states.hidden.sum() * float("nan")


DATA = TrainingData(forget=rows(6, 1), retain=rows(9, 2))


def checked(*, forgotten, margin, metrics=None):
    return StopCheck(metrics=metrics or {}, forgotten=forgotten, margin=margin, aim=0.02)


def never():
    return checked(forgotten=False, margin=None)


def run(
    options, *, resume=None, measure=None, save=lambda _: None, architecture="gpt_neo", forget_loss=None, step=FusedStep
):
    base = base_model(architecture)
    layers = target_linears(base.model, options.target_modules)
    pairs = initial_pairs(base, layers, DATA.forget, statistics(base, layers, DATA.retain, options), options)
    adapter = attach(base.model, pairs.by_layer, scaling=options.lora_alpha / options.r)
    hooks = Hooks(on_step=lambda _: None, measure=measure or never, rows_a_measure=1, save=save)
    take_step = step(base, adapter, forget_loss or InvertedHinge(), DATA, options)
    summary = train(adapter, take_step, DATA, options, hooks, resume=resume)
    return summary, {name: value.clone() for name, value in adapter.tensors().items()}


OPTIONS = LokuOptions(max_steps=25, batch_size=4, r=4, lora_alpha=8, learning_rate=5e-3)

PLAIN = OPTIONS.model_copy(update={"initializer": "lora"})


def test_same_seed_gives_the_same_bytes():
    first, second = run(OPTIONS)[1], run(OPTIONS)[1]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_anchors_stay_and_pairs_move():
    before = run(OPTIONS.model_copy(update={"max_steps": 1, "learning_rate": 1e-12}))[1]
    after = run(OPTIONS)[1]
    for name in before:
        assert torch.equal(before[name], after[name]) == name.split(".")[-1].startswith("anchor")


def test_resumed_run_ends_in_the_same_bytes():
    saved = []
    whole_summary, whole = run(OPTIONS, save=lambda state: saved.append(state.dump()))
    assert len(saved) == 2
    summary, resumed = run(OPTIONS, resume=TrainingState.parse(saved[0]))
    assert summary.resumed_from_step == 10
    assert summary.trajectory == whole_summary.trajectory
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_lowers_both_losses():
    summary, _ = run(OPTIONS.model_copy(update={"max_steps": 60}))
    first, last = summary.trajectory[0], summary.trajectory[-1]
    assert last.forget_loss < first.forget_loss
    assert last.retain_loss < first.retain_loss


def answers(*checks):
    """A stop check that finds these margins of the retain set, one after the other; None: not forgotten."""
    rest = iter(checks)

    def measure():
        margin = next(rest)
        return checked(forgotten=margin is not None, margin=margin, metrics={"es": 0.5})

    return measure


def test_stops_when_forgotten_and_kept():
    summary, _ = run(OPTIONS, measure=answers(None, -0.01, 0.03))
    assert summary.stopped_early
    assert summary.steps == 6
    assert [point.step for point in summary.trajectory if point.forget_metrics] == [2, 4, 6]


def test_repairs_alone_while_the_set_is_forgotten():
    summary, _ = run(OPTIONS, measure=answers(None, -0.01, None, 0.02))
    forgetting = [point.forget_loss is not None for point in summary.trajectory]
    assert forgetting == [True, True, True, True, False, False, True, True]


def test_run_resumed_while_repairing_ends_in_the_same_bytes():
    saved, options = [], OPTIONS.model_copy(update={"max_steps": 16})
    checks = [None, 0.01, None, None, -0.01, -0.01, None, -0.01]
    whole_summary, whole = run(options, measure=answers(*checks), save=lambda state: saved.append(state.dump()))
    summary, resumed = run(options, measure=answers(*checks[5:]), resume=TrainingState.parse(saved[0]))
    assert whole_summary.trajectory[10].forget_loss is None
    assert whole_summary.delivered_step == summary.delivered_step == 4
    assert summary.trajectory == whole_summary.trajectory
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_delivers_the_best_that_passed_when_the_last_does_not():
    at_four = run(OPTIONS.model_copy(update={"max_steps": 8}), measure=answers(None, 0.02))[1]
    summary, delivered = run(OPTIONS.model_copy(update={"max_steps": 8}), measure=answers(None, 0.01, 0.005, -0.01))
    assert (summary.steps, summary.delivered_step) == (8, 4)
    assert all(torch.equal(delivered[name], at_four[name]) for name in delivered)


def test_delivers_what_kept_most_when_none_passed():
    at_four = run(OPTIONS.model_copy(update={"max_steps": 8}), measure=answers(None, 0.02))[1]
    options = OPTIONS.model_copy(update={"max_steps": 8})
    summary, delivered = run(options, measure=answers(None, -0.01, -0.02, None))
    assert (summary.steps, summary.delivered_step) == (8, 4)
    assert all(torch.equal(delivered[name], at_four[name]) for name in delivered)


def test_delivers_the_last_when_the_set_was_never_forgotten():
    summary, _ = run(OPTIONS.model_copy(update={"max_steps": 6}))
    assert summary.delivered_step == 6


def test_rows_that_are_forgotten_are_left_alone():
    plans = []

    class Watched(FusedStep):
        def __call__(self, plan, optimizer):
            plans.append(plan.remaining)
            return super().__call__(plan, optimizer)

    remaining = iter([(1, 4), (), (0,), ()])

    def measure():
        return replace(never(), remaining=next(remaining))

    run(OPTIONS.model_copy(update={"max_steps": 7}), measure=measure, step=Watched)
    assert plans == [None, None, (1, 4), (1, 4), None, None, (0,)]


def test_checkpoint_of_another_version_is_not_read():
    saved = []
    run(OPTIONS, save=lambda state: saved.append(state.dump()))
    tensors = load(saved[0])
    rest = json.loads(bytes(tensors["rest"].tolist())) | {"format": 0}
    tensors["rest"] = torch.frombuffer(bytearray(json.dumps(rest).encode()), dtype=torch.uint8)
    assert TrainingState.parse(save_tensors(tensors)) is None


def test_early_stopping_can_be_switched_off():
    def fail():
        raise AssertionError

    summary, _ = run(OPTIONS.model_copy(update={"early_stopping": False}), measure=fail)
    assert summary.steps == 25


def test_loss_that_is_not_finite_ends_the_run():
    with pytest.raises(DivergedError):
        run(OPTIONS, forget_loss=NotANumber())


@pytest.mark.parametrize(("before", "now", "destroyed"), [(0.5, 5.5, True), (0.5, 5.1, True), (0.5, 4.9, False)])
def test_model_that_all_but_guesses_is_destroyed(before, now, destroyed):
    assert is_destroyed(before=before, now=now, vocab_size=256) is destroyed  # log(256) is 5.5: 0.9 * 5.05 is 4.54


def test_loss_that_is_not_a_number_is_that_of_a_destroyed_model():
    assert is_destroyed(before=0.5, now=float("nan"), vocab_size=256)


def test_base_model_that_guesses_itself_may_waver():
    assert not is_destroyed(before=6.0, now=6.5, vocab_size=256)


def test_model_that_keeps_no_more_than_a_guess_ends_the_run():
    base = base_model()
    pairs = initial_pairs(base, target_linears(base.model, "all-linear"), DATA.forget, RetainStatistics(), PLAIN)
    adapter = attach(base.model, pairs.by_layer, scaling=2.0)
    hooks = Hooks(on_step=lambda _: None, measure=never, rows_a_measure=1, save=lambda _: None)

    def rising(plan, _):
        return StepLosses(forget=1.0, retain=0.5 + plan.step)

    with pytest.raises(DivergedError, match="at step 6"):  # 0.9 * (log(256) - 0.5) is 4.5
        train(adapter, rising, DATA, PLAIN, hooks)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_damage_that_only_a_check_sees_ends_the_run_too(early_stopping):
    seen = iter([1.0, 99.0])

    def measure():
        return replace(checked(forgotten=False, margin=None, metrics={"es": 0.25}), retain_losses=(0.5, next(seen)))

    with pytest.raises(DivergedError, match=r"at step 2: es 0\.25"):
        run(OPTIONS.model_copy(update={"retain_loss": "none", "early_stopping": early_stopping}), measure=measure)


def test_method_without_a_retain_loss_stops_when_the_set_is_forgotten():
    summary, _ = run(OPTIONS.model_copy(update={"retain_loss": "none"}), measure=answers(None, -0.3))
    assert (summary.steps, summary.stopped_early) == (4, True)
    assert all(point.retain_loss is None for point in summary.trajectory)


def test_dual_weight_grows_while_the_bound_is_exceeded_and_never_falls_below_its_start():
    options = OPTIONS.model_copy(update={"retain_weight": 0.5, "retain_bound": 1.0, "dual_step": 2.0})
    points = [TrajectoryPoint(step=1, forget_loss=None, retain_loss=value) for value in (1.5, 1.25, 0.0)]
    assert [retain_weight(options, points[:count]) for count in range(4)] == [0.5, 1.5, 2.0, 0.5]
    assert retain_weight(OPTIONS, points) == OPTIONS.retain_weight


def test_step_that_only_repairs_repairs_also_where_the_dual_weight_is_at_rest():
    plans = []

    def take_step(plan, _):
        plans.append((plan.forgetting, plan.retain_weight))
        return StepLosses(0.5, 0.0)

    options = OPTIONS.model_copy(update={"retain_weight": 0.0, "retain_bound": 1.0, "max_steps": 4})
    run(options, measure=answers(-0.3, -0.3), step=lambda *_: take_step)
    assert plans == [(True, 0.0), (True, 0.0), (False, 1.0), (False, 1.0)]


def test_step_that_diverges_says_what_the_last_good_numbers_were():
    def take_step(plan, _):
        if plan.step == 3:
            raise DivergedError("the loss is not finite")
        return StepLosses(0.5, 0.1)

    measured = checked(forgotten=False, margin=None, metrics={"es": 0.25})
    with pytest.raises(DivergedError, match=r"not finite; the last check that was good, at step 2: es 0\.25"):
        run(OPTIONS, measure=lambda: measured, step=lambda *_: take_step)


@pytest.mark.parametrize("architecture", ["gpt2", "llama_gqa_untied", "phi", "qwen2", "gpt_neox"])
def test_every_architecture_trains(architecture):
    summary, _ = run(OPTIONS.model_copy(update={"max_steps": 12}), architecture=architecture)
    assert summary.trajectory[-1].retain_loss < summary.trajectory[0].retain_loss


def test_schedule_covers_epochs_but_not_fewer_than_the_minimum():
    options = LokuOptions(num_epochs=5, batch_size=32, min_steps=60)
    assert options.planned_steps(400) == 65
    assert options.planned_steps(20) == 60
    assert options.model_copy(update={"max_steps": 7}).planned_steps(400) == 7


def test_schedule_counts_every_batch_that_a_step_goes_through():
    options = OfmuOptions(num_epochs=5, batch_size=32, inner_steps=3, min_steps=1)
    assert options.planned_steps(400) == 20  # 13 batches of 32, four a step
    assert options.planned_steps(20) == 5


def test_learning_rate_warms_up_and_decays_to_zero():
    options = LokuOptions(learning_rate=1.0, warmup_ratio=0.1)
    rates = [learning_rate(options, step=step, total=100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 / 90)
