from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.ports import JobRepository

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class JobsCollector(Collector):
    """Counts jobs by state at the moment of the scrape: the database is the truth, so nothing is kept here."""

    def __init__(self, jobs: JobRepository, outages: tuple[type[Exception], ...]) -> None:
        self._jobs = jobs
        self._outages = outages

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics without asking the database, which registration would otherwise do."""
        yield _jobs_gauge()
        yield _database_gauge()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the counts. A database that is away costs these counts, not the metrics of HTTP."""
        database, jobs = _database_gauge(), _jobs_gauge()
        try:
            counts = self._jobs.count_by_state()
        except self._outages:
            database.add_metric([], 0)
        else:
            database.add_metric([], 1)
            for state, count in counts.items():
                jobs.add_metric([state.value], count)
        yield database
        yield jobs


class Metrics:
    """What this process tells Prometheus. Labels hold route templates and states, never a tenant, an id or a text."""

    def __init__(self, jobs: JobRepository, outages: tuple[type[Exception], ...]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(JobsCollector(jobs, outages))
        self._requests = Counter(
            "lethe_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._durations = Histogram(
            "lethe_http_request_duration_seconds",
            "Time from the request's head to the response's last byte.",
            ["method", "route"],
            registry=self._registry,
        )

    def observe(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. A method outside HTTP's own is counted as OTHER, or clients could make labels."""
        known = method if method in _METHODS else "OTHER"
        self._requests.labels(known, route, str(status)).inc()
        self._durations.labels(known, route).observe(seconds)

    def render(self) -> bytes:
        """Return the text that Prometheus reads."""
        return generate_latest(self._registry)


def _jobs_gauge() -> GaugeMetricFamily:
    return GaugeMetricFamily("lethe_jobs", "Jobs by state.", labels=["state"])


def _database_gauge() -> GaugeMetricFamily:
    return GaugeMetricFamily("lethe_database_up", "Whether the database answered this scrape.")
