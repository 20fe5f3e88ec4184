from collections.abc import Sequence

from core.data.corpus import Example
from core.domain.catalog import MethodOptions
from core.domain.options import TrainedOptions
from core.evaluation.attack import BACKWARD_COST, num_tokens
from core.pipeline.learn import Learned
from core.pipeline.sets import EncodedSets


def trained_tokens(learned: Learned, options: MethodOptions, sets: EncodedSets) -> int | None:
    """Return about how many forward tokens the training cost, one that was trained on counting three.

    Steps times the rows of a batch times their mean length. None for a method that solves for an edit instead.
    """
    if learned.training is None or not isinstance(options, TrainedOptions):
        return None
    a_batch = _tokens_of_batch(sets.forget, options.batch_size)
    if options.retain_loss != "none":
        a_batch += _tokens_of_batch(sets.retain_trained, options.batch_size)
    return round(BACKWARD_COST * learned.training.steps * options.batches_a_step * a_batch)


def _tokens_of_batch(examples: Sequence[Example], batch_size: int) -> float:
    return min(batch_size, len(examples)) * num_tokens(examples) / len(examples)
