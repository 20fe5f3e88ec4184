from datetime import datetime, timedelta

from core.domain.device import LiveWorker


class FakeWorkerRepository:
    """Workers in a dict."""

    def __init__(self) -> None:
        self.workers: dict[str, LiveWorker] = {}

    def seen(self, worker: LiveWorker) -> None:
        before = self.workers.get(worker.owner)
        device = worker.device or (before.device if before else None)
        self.workers[worker.owner] = worker.model_copy(update={"device": device})
        yesterday = worker.seen_at - timedelta(days=1)
        self.workers = {owner: known for owner, known in self.workers.items() if known.seen_at >= yesterday}

    def live(self, *, since: datetime) -> tuple[LiveWorker, ...]:
        return tuple(self.workers[owner] for owner in sorted(self.workers) if self.workers[owner].seen_at >= since)
