from collections.abc import Callable

from celery import Celery

from worker.logs import get_logger

log = get_logger(__name__)


def register(app: Celery, name: str, run: Callable[[str], None]) -> None:
    """Give the app its one task, whose only argument is a job id.

    It never raises: Celery would log the exception with its text, and there is nobody to retry. The sweep repairs.
    """

    def run_job(job_id: str) -> None:
        try:
            run(job_id)
        except Exception:
            log.exception("the job's supervision ended with an error", job_id=job_id)

    app.task(name=name)(run_job)
