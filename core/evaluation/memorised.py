from collections.abc import Mapping

from core.domain.report import Thresholds
from core.evaluation.item_limits import is_measured, is_over


def is_memorised(values: Mapping[str, float], thresholds: Thresholds) -> bool | None:
    """Return whether an item's metrics are over the limits of a single item, or None if that cannot be said.

    The limits are those that a forgotten item must stay within, so that a text is memorised here if and only if a
    deletion request would have something to do. One metric over its limit is enough; one that is absent leaves open
    what it would have been, so that an item which is within all others is undecided.
    """
    if is_over(values, thresholds):
        return True
    return False if is_measured(values, thresholds) else None
