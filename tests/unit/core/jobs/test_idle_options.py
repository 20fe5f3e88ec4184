import pytest

from core.domain.catalog import GaFilaOptions, IhlOptions, LawOptions, LokuOptions, PduOptions, RegluOptions
from core.domain.errors import OptionWithoutEffectError
from core.domain.options import TrainedOptions
from core.jobs.idle_options import refuse_idle_options


@pytest.mark.parametrize(
    ("method", "param"),
    [
        (IhlOptions(rila_beta=0.5), "/method/rila_beta"),
        (LokuOptions(rila_items=8), "/method/rila_items"),
        (LokuOptions(rol_directions=8), "/method/rol_directions"),
        (IhlOptions(fisher_epsilon=0.1), "/method/fisher_epsilon"),
        (RegluOptions(fisher_retain_items=8), "/method/fisher_retain_items"),
        (LokuOptions(dual_step=2.0), "/method/dual_step"),
        (LokuOptions(retain_loss="none", retain_weight=3.0), "/method/retain_weight"),
        (LokuOptions(retain_loss="none", retain_bound=3.0), "/method/retain_bound"),
        (IhlOptions(retain_loss="none", retain_corpus="general"), "/method/retain_corpus"),
        (LokuOptions(max_steps=3, num_epochs=3), "/method/num_epochs"),
        (LokuOptions(max_steps=3, min_steps=3), "/method/min_steps"),
    ],
)
def test_option_that_nothing_reads_is_refused_by_name(method: TrainedOptions, param: str):
    with pytest.raises(OptionWithoutEffectError) as refused:
        refuse_idle_options(method)

    assert refused.value.param == param


@pytest.mark.parametrize(
    "method",
    [
        IhlOptions(initializer="rila", rila_beta=0.5, rila_items=8),
        IhlOptions(rol_weight=0.5, rol_directions=8, rila_items=8),
        GaFilaOptions(fisher_epsilon=0.1, fisher_retain_items=8, retain_corpus="general"),
        PduOptions(dual_step=2.0, retain_weight=0.5),
        LokuOptions(max_steps=3),
        LawOptions(r=8),
    ],
)
def test_option_that_is_read_passes(method: TrainedOptions | LawOptions):
    refuse_idle_options(method)


def test_method_of_a_job_can_be_sent_again_with_everything_that_it_says():
    stored = GaFilaOptions.model_validate(GaFilaOptions().model_dump())

    refuse_idle_options(stored)
