from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

import torch

from core.data.corpus import Example
from core.domain.report import ItemResult, Thresholds
from core.evaluation.metric import Evidence, UndefinedMetricError
from core.evaluation.metrics import METRICS
from core.evaluation.scored_items import ItemScores, score_items
from core.evaluation.verdict import forget_failures
from core.modeling.base_model import BaseModel
from core.pipeline.measure import Measurement
from core.ports import JobMonitor
from core.unlearning.training import StopCheck

# Training aims above the gate that it will be judged by: it stops when it has lost at most this share of what the
# gate allows, for the measured rows are a sample, and the rows that nobody measures should pass as well.
ALLOWED_LOSS_SHARE = 0.5
# Enough to tell a model that knows something from one that guesses.
WATCHED_ROWS = 32


@dataclass(frozen=True)
class StopRule:
    """Training stops once the forget set is forgotten *and* the retain set is kept, with a margin.

    Forgetting comes first and costs some utility, which the retain loss then repairs; should repairing bring memories
    back, the forget loss joins in again. So the run goes on until both hold or the schedule ends. What is asked is what
    the verdict will ask, as far as one teacher-forced pass can answer it.
    """

    base: BaseModel
    forget: Sequence[Example]
    retain: Sequence[Example]
    thresholds: Thresholds
    before: Measurement
    monitor: JobMonitor
    base_retain_loss: float | None = None  # given where no step sees the retain set, for damage must not go unnoticed

    @property
    def num_rows(self) -> int:
        """How many rows a check passes at most."""
        return len(self.forget) + len(self.retain)

    def __call__(self) -> StopCheck:
        """Measure the gated metrics; those of the retain set only when they can decide."""
        gates = [gate for gate in self.thresholds.forget if METRICS[gate.metric].shortest_continuation is None]
        now = self._measure(self.forget, [gate.metric for gate in gates])
        items = [
            ItemResult(id=old.id, before=old.values, after=new)
            for old, new in zip(self.before.forget.items, now, strict=True)
        ]
        means = _means(now)
        forgotten = not forget_failures(means, items, self.thresholds.model_copy(update={"forget": gates}))
        remaining = self._remaining(now, is_set_over=any(means.get(gate.metric, 0.0) > gate.at_most for gate in gates))
        shown = {f"forget_{name}": value for name, value in means.items()}
        kept_share = None
        if forgotten:
            kept = self._kept()
            shown |= {f"retain_{name}_share": share for name, share in kept.items()}
            kept_share = min((kept[gate.metric] - gate.at_least_ratio for gate in self.thresholds.retain), default=0.0)
        before = self.base_retain_loss
        losses = None if before is None else (before, watched_loss(self.base, self.retain))
        self.monitor.metrics("stop check", shown)
        return StopCheck(
            metrics=shown,
            remaining=remaining,
            forgotten=forgotten,
            margin=kept_share,
            aim=self._aim(),
            retain_losses=losses,
        )

    def _remaining(self, now: Sequence[dict[str, float]], *, is_set_over: bool) -> tuple[int, ...]:
        """Return the rows that stand in the way: while the set is over its limits those above them, then the outliers.

        Once the mean is where it should be, pushing every row towards it would take the mean far below.
        """
        limits = {gate.metric: gate.at_most if is_set_over else gate.item_at_most for gate in self.thresholds.forget}
        return tuple(
            place for place, item in enumerate(now) if any(value > limits[metric] for metric, value in item.items())
        )

    def _kept(self) -> dict[str, float]:
        """Return each gated metric of the retain set as a share of its value before; 0 where there was none."""
        names = [gate.metric for gate in self.thresholds.retain]
        now, before = _means(self._measure(self.retain, names)), self.before.retain.metrics
        return {name: now.get(name, 0.0) / before[name] if before.get(name, 0.0) > 0 else 0.0 for name in names}

    def _aim(self) -> float:
        ratios = [gate.at_least_ratio for gate in self.thresholds.retain]
        return min(((1 - ALLOWED_LOSS_SHARE) * (1 - ratio) for ratio in ratios), default=0.0)

    def _measure(self, examples: Sequence[Example], names: Sequence[str]) -> list[dict[str, float]]:
        scored = score_items(self.base.model, examples, pad_id=self.base.pad_id)
        return [_values(item, names) for item in scored]


def _values(item: ItemScores, names: Sequence[str]) -> dict[str, float]:
    """Return the metrics of an item, without those that it cannot have."""
    values = {}
    for name in names:
        with suppress(UndefinedMetricError):
            values[name] = METRICS[name].of_item(Evidence(item))
    return values


def _means(items: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over the items that have it."""
    names = dict.fromkeys(name for item in items for name in item)
    return {name: fmean(item[name] for item in items if name in item) for name in names}


def watched_loss(base: BaseModel, retain: Sequence[Example]) -> float:
    """Return the mean loss of a content token over some retain rows under the model as it is, in nats."""
    scored = score_items(base.model, retain[:WATCHED_ROWS], pad_id=base.pad_id)
    return -float(torch.cat([item.log_prob for item in scored]).mean())
