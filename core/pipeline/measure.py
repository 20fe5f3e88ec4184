import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from statistics import fmean

from torch import Tensor

from core.data.corpus import AnyItem, Example, ItemEncoder
from core.domain.items import TextItem
from core.domain.policy import Policy
from core.domain.report import (
    Exposure,
    ExposureChange,
    ForgetQuality,
    MembershipResult,
    MetricChange,
    OverUnlearned,
    SetResult,
)
from core.evaluation.evaluate import MAX_DECODED_TOKENS, SetScores, compare, evaluate
from core.evaluation.exposure import Exposures, exposures
from core.evaluation.forget_quality import forget_quality
from core.evaluation.membership import inference
from core.evaluation.membership.compressed_loss import compressed_size
from core.evaluation.membership.inference import Membership
from core.evaluation.membership.score import MembershipEvidence
from core.evaluation.metric import UndefinedMetricError
from core.evaluation.metrics import METRICS
from core.evaluation.over_unlearned import over_unlearned
from core.evaluation.scored_items import ItemScores
from core.evaluation.text_decoder import text_decoder
from core.evaluation.truth_ratio import TruthRatios, truth_ratios
from core.modeling.base_model import BaseModel
from core.packaging.verify import logits_of, probe_rows
from core.pipeline.sets import EncodedSets

# Each forget item should have its own EL_n; past this, decoding would cost more than the training that it judges.
MAX_DECODED_FORGET_TOKENS = 1 << 16


@dataclass(frozen=True)
class Measurement:
    """What a model is at one moment: its metrics on each set, and its logits on the probe rows."""

    forget: SetScores
    retain: SetScores
    holdout: SetScores | None
    membership: Membership | None  # of the forget set, told from the holdout set
    truth: TruthRatios  # of the forget items that come with other wordings
    exposures: Exposures | None  # of the forget items whose completions hold digits; None: the policy leaves it out
    probe_ids: Tensor  # (P, T)
    probe_logits: Tensor  # (P, T, V)


def _unheard() -> None:
    """Do nothing, for measurements that nobody waits for."""


@dataclass(frozen=True)
class Measure:
    """Measures models for one job: by the same items, metrics and seeds each time."""

    policy: Policy
    sets: EncodedSets
    encode: ItemEncoder
    seed: int
    on_step: Callable[[], None] = _unheard  # called after each set, and after each number that takes passes of its own

    @property
    def num_steps(self) -> int:
        """How many steps one measurement has."""
        return 3 + bool(self.sets.holdout) + self.policy.exposure

    def __call__(self, base: BaseModel, reference: Measurement | None = None) -> Measurement:
        """Return what the model is now.

        Args:
            base: the model, as it is.
            reference: of the model that never saw the forget set, where there is one.
        """
        sets = self.sets
        probe_ids = probe_rows(base.model, seed=self.seed)
        forget = self._set(base, sets.forget, max_decoded_tokens=MAX_DECODED_FORGET_TOKENS)
        holdout = self._set(base, sets.holdout) if sets.holdout else None
        return Measurement(
            forget=forget,
            retain=self._set(base, sets.retain_measured),
            holdout=holdout,
            membership=self._membership(forget, holdout, reference) if self.policy.membership and holdout else None,
            truth=self._truth(base),
            exposures=self._exposures(base) if self.policy.exposure else None,
            probe_ids=probe_ids,
            probe_logits=logits_of(base.model, probe_ids),
        )

    def _truth(self, base: BaseModel) -> TruthRatios:
        found = truth_ratios(base.model, self.sets.forget_items, self.encode, pad_id=base.pad_id)
        self.on_step()
        return found

    def _exposures(self, base: BaseModel) -> Exposures:
        found = exposures(base.model, self.sets.forget_items, self.encode, pad_id=base.pad_id, seed=self.seed)
        self.on_step()
        return found

    def _set(
        self, base: BaseModel, examples: Sequence[Example], *, max_decoded_tokens: int = MAX_DECODED_TOKENS
    ) -> SetScores:
        found = evaluate(
            base.model,
            examples,
            pad_id=base.pad_id,
            metrics={name: METRICS[name] for name in self.policy.metrics},
            max_decoded_tokens=max_decoded_tokens,
            with_spread=self.policy.membership,
            decode=text_decoder(base.tokenizer),
        )
        self.on_step()
        return found

    def _membership(self, forget: SetScores, holdout: SetScores, reference: Measurement | None) -> Membership:
        known = {} if reference is None else _scores_by_id(reference)
        members = _evidence("forget", forget, self.sets.forget_items, known)
        return inference.membership(members, _evidence("holdout", holdout, self.sets.holdout_items, known))


@dataclass(frozen=True)
class Comparison:
    """Each set before and after, and what only a comparison of two models says."""

    forget: SetResult
    retain: SetResult
    holdout: SetResult | None
    membership: MembershipResult | None = None
    over_unlearned: OverUnlearned | None = None
    truth_ratio: MetricChange | None = None
    forget_quality: ForgetQuality | None = None
    exposure: ExposureChange | None = None
    not_measured: dict[str, str] = field(default_factory=dict)

    def without(self, left_out: Mapping[str, str]) -> "Comparison":
        """Return the same, with the reasons for what else is not measured."""
        return replace(self, not_measured={**self.not_measured, **left_out})


def compared(before: Measurement, after: Measurement, reference: Measurement | None = None) -> Comparison:
    """Return two measurements side by side, and beside that of the reference model where there is one."""
    not_measured: dict[str, str] = {}
    forget = compare(before.forget, after.forget, None if reference is None else reference.forget)
    holdout = _compared_holdout(before, after, reference)
    membership = _compared_membership(before, after, reference, not_measured)
    return Comparison(
        forget=forget,
        retain=compare(before.retain, after.retain, None if reference is None else reference.retain),
        holdout=holdout,
        membership=membership,
        over_unlearned=_over_unlearned(forget, holdout, membership, not_measured),
        truth_ratio=_compared_truth(before, after, reference, not_measured),
        forget_quality=_quality(after, reference, not_measured),
        exposure=_compared_exposures(before, after, reference, not_measured),
        not_measured=not_measured,
    )


def _compared_holdout(before: Measurement, after: Measurement, reference: Measurement | None) -> SetResult | None:
    if before.holdout is None or after.holdout is None:
        return None
    return compare(before.holdout, after.holdout, None if reference is None else reference.holdout)


def _compared_membership(
    before: Measurement, after: Measurement, reference: Measurement | None, not_measured: dict[str, str]
) -> MembershipResult | None:
    if before.membership is None or after.membership is None:
        not_measured["membership"] = "the policy leaves it out, or no holdout set is registered to tell apart from"
        return None
    return inference.compare(before.membership, after.membership, None if reference is None else reference.membership)


def _over_unlearned(
    forget: SetResult,
    holdout: SetResult | None,
    membership: MembershipResult | None,
    not_measured: dict[str, str],
) -> OverUnlearned | None:
    try:
        return over_unlearned(forget, holdout, membership)
    except UndefinedMetricError as error:
        not_measured["over_unlearned"] = str(error)
        return None


def _compared_truth(
    before: Measurement, after: Measurement, reference: Measurement | None, not_measured: dict[str, str]
) -> MetricChange | None:
    """Return how near to 1 the truth ratios of the forget items are on average, ``min(R, 1/R)``.

    Over the items that every measured model has a ratio of, the reference model too.
    """
    measured = [before.truth, after.truth, *([] if reference is None else [reference.truth])]
    shared = set.intersection(*({item.id for item in truth.items} for truth in measured))
    if not shared:
        reasons = [reason for truth in measured for reason in truth.absent.values()]
        not_measured["truth_ratio"] = next(iter(reasons), "there is no forget item")
        return None
    means = [_mean_nearness(truth, shared) for truth in measured]
    return MetricChange(
        before=means[0], after=means[1], n=len(shared), reference=None if reference is None else means[2]
    )


def _mean_nearness(truth: TruthRatios, shared: AbstractSet[str]) -> float:
    # By the logarithm: a ratio far below any double is 0, and has no inverse.
    return fmean(math.exp(-abs(item.log_ratio)) for item in truth.items if item.id in shared)


def _quality(after: Measurement, reference: Measurement | None, not_measured: dict[str, str]) -> ForgetQuality | None:
    if reference is None:
        not_measured["forget_quality"] = "no reference model is registered for this base model"
        return None
    try:
        return forget_quality(*([item.log_ratio for item in truth.items] for truth in (after.truth, reference.truth)))
    except UndefinedMetricError as error:
        not_measured["forget_quality"] = str(error)
        return None


def _compared_exposures(
    before: Measurement, after: Measurement, reference: Measurement | None, not_measured: dict[str, str]
) -> ExposureChange | None:
    old, new = _exposure(before.exposures), _exposure(after.exposures)
    if old is None or new is None:
        missing = next(iter(after.exposures.absent.values()), "") if after.exposures else "the policy leaves it out"
        not_measured["exposure"] = missing or "there is no forget item"
        return None
    return ExposureChange(
        before=old, after=new, reference=None if reference is None else _exposure(reference.exposures)
    )


def _exposure(found: Exposures | None) -> Exposure | None:
    if found is None or found.mean_sampled is None or found.p_value is None:
        return None
    most = max(item.num_candidates for item in found.items)
    return Exposure(mean=found.mean_sampled, p_value=found.p_value, n=len(found.items), num_candidates=most)


def _evidence(
    which: str, scores: SetScores, items: Sequence[AnyItem], reference: Mapping[tuple[str, str], ItemScores]
) -> list[MembershipEvidence]:
    return [
        MembershipEvidence(scored, compressed_size(_content(item)), reference.get((which, scored.id)))
        for scored, item in zip(scores.scores, items, strict=True)
    ]


def _content(item: AnyItem) -> str:
    return item.text if isinstance(item, TextItem) else item.completion


def _scores_by_id(reference: Measurement) -> dict[tuple[str, str], ItemScores]:
    """Return the reference model's scores; ids are those of a set, so the set is part of the key."""
    sets = [("forget", reference.forget), *([("holdout", reference.holdout)] if reference.holdout else [])]
    return {(which, item.id): item for which, scores in sets for item in scores.scores}
