from core.domain.catalog import OfmuOptions
from core.unlearning.bilevel import BilevelStep
from core.unlearning.step import FusedStep, TakeStep


def take_step_for(fused: FusedStep) -> TakeStep:
    """Return how the options update the adapter: by the fused step as it is, or by one that is made of its losses."""
    match fused.options:
        case OfmuOptions() as options:
            return BilevelStep(fused, options)
    return fused
