from core.domain.catalog import LokuOptions, OfmuOptions
from core.unlearning.bilevel import BilevelStep
from core.unlearning.methods.inverted_hinge import InvertedHinge
from core.unlearning.step import FusedStep, TrainingData
from core.unlearning.take_step import take_step_for
from tests.unit.core.unlearning.conftest import adapted, base_model, rows

DATA = TrainingData(forget=rows(2, seed=1), retain=rows(2, seed=2))


def fused(options):
    base = base_model()
    adapter = adapted(base, options, forget=DATA.forget, retain=DATA.retain)
    return FusedStep(base, adapter, InvertedHinge(), DATA, options)


def test_method_with_inner_steps_takes_outer_iterations():
    options = OfmuOptions()
    step = fused(options)
    assert take_step_for(step) == BilevelStep(step, options)


def test_any_other_method_takes_the_fused_step():
    step = fused(LokuOptions())
    assert take_step_for(step) is step
