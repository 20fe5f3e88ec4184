from enum import StrEnum

from core.domain.errors import IllegalTransitionError


class JobState(StrEnum):
    """Where a job stands. Stages live inside ``running``."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether no transition leaves this state."""
        return not TRANSITIONS[self]


# The one table. ``running -> queued`` is a lost lease.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING, JobState.QUEUED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


def require_transition(before: JobState, after: JobState) -> None:
    """Return if the table has the edge, else raise.

    Raises:
        IllegalTransitionError: the edge is absent; the message names what is possible instead.
    """
    if after not in TRANSITIONS[before]:
        possible = ", ".join(sorted(TRANSITIONS[before])) or "nothing: it is final"
        raise IllegalTransitionError(f"a job that is {before} cannot become {after}; possible: {possible}")
