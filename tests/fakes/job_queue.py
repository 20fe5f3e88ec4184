from core.domain.errors import QueueUnavailableError


class FakeJobQueue:
    """Keeps what was published in a list. While ``away``, it answers like a broker that is down."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.away = False

    def publish(self, job_id: str) -> None:
        self._require_broker()
        self.published.append(job_id)

    def depth(self) -> int:
        self._require_broker()
        return len(self.published)

    def take(self) -> str:
        """Return the oldest waiting id and remove it, as a worker would."""
        return self.published.pop(0)

    def _require_broker(self) -> None:
        if self.away:
            raise QueueUnavailableError("the broker is away")
