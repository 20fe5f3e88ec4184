from dataclasses import dataclass

from torch import Tensor

from core.domain.report import SetResult
from core.evaluation.evaluate import SetScores, compare, evaluate
from core.modeling.base_model import BaseModel
from core.packaging.verify import logits_of, probe_rows
from core.pipeline.sets import EncodedSets

# Each forget item should have its own EL_n; past this, decoding would cost more than the training that it judges.
MAX_DECODED_FORGET_ITEMS = 128


@dataclass(frozen=True)
class Measurement:
    """What the model is at one moment: its metrics on each set, and its logits on the probe rows."""

    forget: SetScores
    retain: SetScores
    holdout: SetScores | None
    probe_ids: Tensor  # (P, T)
    probe_logits: Tensor  # (P, T, V)


@dataclass(frozen=True)
class Comparison:
    """Each set before and after."""

    forget: SetResult
    retain: SetResult
    holdout: SetResult | None


def measure(base: BaseModel, sets: EncodedSets, *, seed: int) -> Measurement:
    """Return the metrics and probe logits of the model as it is now."""
    probe_ids = probe_rows(base.model, seed=seed)
    return Measurement(
        forget=evaluate(base.model, sets.forget, pad_id=base.pad_id, max_decoded_items=MAX_DECODED_FORGET_ITEMS),
        retain=evaluate(base.model, sets.retain_measured, pad_id=base.pad_id),
        holdout=evaluate(base.model, sets.holdout, pad_id=base.pad_id) if sets.holdout else None,
        probe_ids=probe_ids,
        probe_logits=logits_of(base.model, probe_ids),
    )


def compared(before: Measurement, after: Measurement) -> Comparison:
    """Return both measurements side by side."""
    return Comparison(
        forget=compare(before.forget, after.forget),
        retain=compare(before.retain, after.retain),
        holdout=compare(before.holdout, after.holdout) if before.holdout and after.holdout else None,
    )
