import signal
import threading
from collections.abc import Callable
from datetime import timedelta

from core.jobs.destroy_orphans import DestroyOrphans
from core.jobs.destroy_probed import DestroyProbed
from core.jobs.sweep import Sweep
from core.ports import ArtifactStore
from worker.checkpoints import discard_all_of_ended
from worker.composition import attempts_of, open_backends, utc_now
from worker.logs import configure_logging, get_logger
from worker.settings import WorkerSettings

log = get_logger(__name__)


def main() -> None:
    """Sweep until SIGTERM. A process of its own: what repairs lost messages must not depend on messages."""
    settings = WorkerSettings()
    configure_logging(settings.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    backends = open_backends(settings)
    sweep = Sweep(attempts_of(settings, backends), timedelta(seconds=settings.lost_after_seconds))
    destroy_orphans = DestroyOrphans(backends.items, backends.jobs, backends.base_models, utc_now)
    destroy_probed = DestroyProbed(backends.jobs, backends.items, utc_now)
    log.info("sweeper starts", interval_seconds=settings.sweep_interval_seconds)
    while not stopping.wait(settings.sweep_interval_seconds):
        sweep_once(sweep, destroy_orphans, destroy_probed, backends.store)


def sweep_once(
    sweep: Sweep, destroy_orphans: DestroyOrphans, destroy_probed: DestroyProbed, store: ArtifactStore
) -> None:
    """Sweep, and remove texts and checkpoints that nobody needs. What is away now is met again next time."""
    steps: dict[str, Callable[[], None]] = {
        "hand back and publish jobs": lambda: _sweep(sweep),
        "destroy texts without a request": lambda: _destroy(destroy_orphans),
        "destroy texts of ended probes": lambda: _destroy_probed(destroy_probed),
        "remove checkpoints": lambda: discard_all_of_ended(jobs=sweep.attempts.jobs, store=store),
    }
    for doing, step in steps.items():
        # Each on its own: what stops one of them, and perhaps at every sweep, must not stop the others.
        try:
            step()
        except Exception:
            log.warning("this step of the sweep was cut short", doing=doing, exc_info=True)


def _sweep(sweep: Sweep) -> None:
    swept = sweep()
    if swept.expired or swept.republished:
        log.info("swept", expired=swept.expired, republished=swept.republished)


def _destroy(destroy_orphans: DestroyOrphans) -> None:
    if orphans := destroy_orphans():
        log.info("texts without a request destroyed", sets=orphans)


def _destroy_probed(destroy_probed: DestroyProbed) -> None:
    if probed := destroy_probed():
        log.info("texts of ended probes destroyed", sets=probed)


if __name__ == "__main__":
    main()
