import faulthandler
import logging
import os
import resource
import signal
import sys
from types import FrameType

import structlog

from core.domain.item_set import ItemSet
from core.domain.job import Job
from core.domain.spec import ProbeSpec
from worker.composition import Backends, attempts_of, open_backends, utc_now
from worker.delivery import Answer, Outcome
from worker.execution import Execution, StopRequestedError
from worker.logs import configure_logging
from worker.monitor import DatabaseJobMonitor
from worker.orphan import end_with_parent
from worker.probing import run_probe
from worker.scratch import work_dir_name
from worker.settings import WorkerSettings


def main() -> None:
    """Run one attempt: ``python -m worker.runner JOB_ID FENCE``, started by the supervisor.

    The order matters: being an orphan, being asked to stop and being wrong must have their consequences before
    the seconds that importing torch takes.
    """
    end_with_parent()
    signal.signal(signal.SIGTERM, _stop)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would put the texts on disk
    job_id, fence = sys.argv[1], int(sys.argv[2])
    settings = WorkerSettings()
    configure_logging(settings.log_level)
    structlog.contextvars.bind_contextvars(job_id=job_id, fence=fence)
    backends = open_backends(settings)
    execute = Execution(
        attempts=attempts_of(settings, backends),
        store=backends.store,
        recipe=lambda job, monitor: run_pipeline(job, monitor, backends, settings),
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    exit_code = execute(job_id, fence)
    # Everything is recorded. Taking torch down module by module costs seconds, in which the worker would take no job.
    logging.shutdown()
    os._exit(exit_code)


def run_pipeline(
    job: Job, monitor: DatabaseJobMonitor, backends: Backends, settings: WorkerSettings
) -> Outcome | Answer:
    """Return what the recipe makes of the job: the one place where jobs and mathematics meet."""
    # Here and not above, for the reason that main gives.
    import torch  # noqa: PLC0415

    from core.pipeline.run import run  # noqa: PLC0415
    from core.pipeline.task import RunTask  # noqa: PLC0415

    if settings.torch_threads is not None:
        torch.set_num_threads(settings.torch_threads)
    work_dir = settings.work_dir / work_dir_name(job)  # the supervisor removes it, however this process ends
    work_dir.mkdir(parents=True, mode=0o700)
    if isinstance(job.spec, ProbeSpec):
        return run_probe(job, monitor, backends, settings)
    spec = job.unlearning
    base_model = backends.base_models.get(spec.base_model)
    task = RunTask(
        job_id=job.id,
        spec=spec,
        base_model=base_model,
        forget=backends.items.get(spec.forget_set_id),
        retain=_item_set(spec.retain_set_id or spec.registered_retain_set_id, backends),
        holdout=_item_set(spec.holdout_set_id, backends),
        # Also where training does not read it: attacks fine-tune on texts about nothing in particular.
        general=_item_set(spec.general_set_id or base_model.general_set_id, backends),
        device=settings.device,
        work_dir=work_dir,
    )
    ran = run(task, monitor, backends.store, backends.items, utc_now)
    return Outcome(
        adapter_zip=ran.adapter_zip,
        report_json=ran.report.model_dump_json().encode(),
        report_html=ran.report_html.encode(),
        dispositions=ran.dispositions,
    )


def _item_set(set_id: str | None, backends: Backends) -> ItemSet | None:
    return None if set_id is None else backends.items.get(set_id)


def _stop(_: int, __: FrameType | None) -> None:
    raise StopRequestedError


if __name__ == "__main__":
    main()
