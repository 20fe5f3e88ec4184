import shutil
from pathlib import Path

from core.domain.errors import NotFoundError
from core.domain.job import Job
from core.ports import JobRepository


def work_dir_name(job: Job) -> str:
    """Return the name of an attempt's scratch directory, so that the supervisor can clear up after a killed runner."""
    return f"{job.id}-{job.fence}"


def clear_older_attempts(work_dir: Path, job: Job) -> None:
    """Remove what earlier attempts of the job left here because their worker was killed with them."""
    for left in work_dir.glob(f"{job.id}-*"):
        if left.name != work_dir_name(job):
            shutil.rmtree(left, ignore_errors=True)


def clear_abandoned(work_dir: Path, jobs: JobRepository) -> None:
    """Remove every scratch directory here whose attempt is over.

    Other workers of this machine may use the directory too, and so may other deployments: an attempt that still has
    its lease stays, and so does whatever is not named after a job of ours.
    """
    for left in work_dir.glob("*-*"):
        if _is_over(left.name, jobs):
            shutil.rmtree(left, ignore_errors=True)


def _is_over(name: str, jobs: JobRepository) -> bool:
    job_id, _, _ = name.rpartition("-")
    try:
        job = jobs.job(job_id)
    except NotFoundError:
        return False
    return job.lease is None or name != work_dir_name(job)
