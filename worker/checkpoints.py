from contextlib import suppress

from pydantic import ValidationError

from core.domain.errors import NotFoundError
from core.ports import ArtifactStore, JobRepository

# A folder of their own, so that listing those there are costs no more than there are jobs under way.
_FOLDER = "checkpoints"


def checkpoint_key(job_id: str) -> str:
    """Return where the checkpoint of a job is kept, whichever attempt wrote it."""
    return f"{_FOLDER}/{job_id}"


def discard_if_ended(job_id: str, *, jobs: JobRepository, store: ArtifactStore) -> None:
    """Remove the checkpoint of a job that has ended: it was trained on what is to be forgotten."""
    if jobs.job(job_id).state.is_terminal:
        store.delete(checkpoint_key(job_id))


def discard_all_of_ended(*, jobs: JobRepository, store: ArtifactStore) -> None:
    """Remove every checkpoint that outlived its job, whoever died or was never told.

    Those of unknown jobs stay, and so do those of jobs whose row cannot be read: whether they have ended is not known.
    """
    for key in tuple(store.keys(_FOLDER)):  # listed to the end before anything is removed from it
        with suppress(NotFoundError, ValidationError):
            discard_if_ended(key.removeprefix(f"{_FOLDER}/"), jobs=jobs, store=store)
