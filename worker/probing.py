from core.domain.errors import ArtifactMissingError
from core.domain.item_set import ItemSet
from core.domain.job import Job
from core.pipeline.probe import ProbeTask
from worker.composition import Backends
from worker.scratch import work_dir_name
from worker.settings import WorkerSettings


def probe_task(job: Job, backends: Backends, settings: WorkerSettings) -> ProbeTask:
    """Return everything that the recipe of a probe needs."""
    spec = job.probe
    holdout: ItemSet | None = None if spec.holdout_set_id is None else backends.items.get(spec.holdout_set_id)
    return ProbeTask(
        probe_id=job.id,
        spec=spec,
        base_model=backends.base_models.get(spec.base_model),
        items=backends.items.get(spec.item_set_id),
        holdout=holdout,
        adapter_zip=None if spec.job_id is None else _adapter_zip(spec.job_id, backends),
        device=settings.device,
        work_dir=settings.work_dir / work_dir_name(job),
    )


def _adapter_zip(job_id: str, backends: Backends) -> bytes:
    """Return the adapter that the probe was accepted with: a job that has succeeded keeps its package."""
    package = backends.jobs.job(job_id).package
    if package is None or package.adapter is None:
        raise ArtifactMissingError(f"job {job_id} has no adapter")
    return backends.store.get(package.adapter.key)
