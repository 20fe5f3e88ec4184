from dataclasses import dataclass
from datetime import timedelta

from core.domain.errors import QueueUnavailableError
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from core.jobs.submit import publish


@dataclass(frozen=True)
class Swept:
    """What one sweep did."""

    expired: int
    republished: int


@dataclass(frozen=True)
class Sweep:
    """Repairs what a crash left behind: jobs whose worker died, and jobs whose message was lost."""

    attempts: Attempts
    lost_after: timedelta

    def __call__(self) -> Swept:
        """Hand back expired jobs, then publish queued jobs that no message can be under way for.

        When fewer messages wait in the broker than published jobs are queued, at least one message is lost. Nobody
        can tell which, so every job that is still queued ``lost_after`` its publication is published again: copies
        are harmless, because a claim succeeds once. As long as nothing is missing, they would only be noise.
        """
        now = self.attempts.clock()
        expired = self.attempts.jobs.expired(now=now)
        for job in expired:
            self.attempts.expire(job)
        return Swept(expired=len(expired), republished=self._republish())

    def _republish(self) -> int:
        attempts = self.attempts
        waiting = attempts.jobs.unpublished(published_before=attempts.clock() - self.lost_after)
        if not waiting:
            return 0
        unheard = [job for job in waiting if job.published_at is None]
        published = attempts.jobs.count_by_state()[JobState.QUEUED] - len(unheard)
        try:
            is_one_lost = attempts.queue.depth() < published
        except QueueUnavailableError:
            return 0
        lost = waiting if is_one_lost else unheard
        for job in lost:
            publish(job.id, jobs=attempts.jobs, queue=attempts.queue, clock=attempts.clock)
        return len(lost)
