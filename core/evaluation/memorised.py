from collections.abc import Mapping

from core.domain.report import Thresholds


def is_memorised(values: Mapping[str, float], thresholds: Thresholds) -> bool | None:
    """Return whether an item's metrics are over the limits of a single item, or None if that cannot be said.

    The limits are those that a forgotten item must stay within, so that a text is memorised here if and only if a
    deletion request would have something to do. One metric over its limit is enough; one that is absent leaves open
    what it would have been, so that an item which is within all others is undecided.
    """
    gates = thresholds.forget
    if any(values[gate.metric] > gate.item_at_most for gate in gates if gate.metric in values):
        return True
    return False if gates and all(gate.metric in values for gate in gates) else None
