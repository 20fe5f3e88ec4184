import gc

import torch

from core.domain.item_set import ItemSet
from core.domain.job import Job
from core.domain.spec import ProbeSpec
from core.modeling.base_model import choose_device
from core.modeling.kept_base_model import KeptBaseModel
from core.pipeline.probe import ProbeTask, probe
from core.pipeline.run import run
from core.pipeline.task import RunOutcome, RunTask
from worker.composition import Backends, admission_of, utc_now
from worker.delivery import Answer, Outcome
from worker.logs import get_logger
from worker.measured import MeasuredRun
from worker.monitor import DatabaseJobMonitor
from worker.probing import probe_task
from worker.scratch import work_dir_name
from worker.settings import WorkerSettings
from worker.spread import World, spread

_NAMED = 5  # of the changes of a model: an attached adapter has as many as the model has layers

log = get_logger(__name__)


class TorchRecipe:
    """What a runner makes of its jobs: the one place where jobs and mathematics meet.

    Between jobs it keeps the base model, and nothing else that a job could have touched. Where a base model is spread
    over several devices, there is no next job: this process and the others of its group end.
    """

    def __init__(self, backends: Backends, settings: WorkerSettings) -> None:
        """Begin without a base model."""
        self._backends = backends
        self._settings = settings
        self._base_model = KeptBaseModel()
        if settings.torch_threads is not None:
            torch.set_num_threads(settings.torch_threads)
        gc.freeze()  # the libraries stay; to look at them after each job would take tenths of a second

    def __call__(self, job: Job, monitor: DatabaseJobMonitor) -> Outcome | Answer:
        """Return what the recipe makes of the job."""
        torch.manual_seed(0)  # whatever the job before drew; those that draw seed again by their own options
        work_dir = self._settings.work_dir / work_dir_name(job)  # the supervisor removes it, however this process ends
        work_dir.mkdir(parents=True, mode=0o700)
        if isinstance(job.spec, ProbeSpec):
            return self._answer(probe_task(job, self._backends, self._settings), monitor)
        backends, spec = self._backends, job.unlearning
        base_model = backends.base_models.get(spec.base_model)
        task = RunTask(
            job_id=job.id,
            spec=spec,
            base_model=base_model,
            forget=backends.items.get(spec.forget_set_id),
            retain=self._item_set(spec.retain_set_id or spec.registered_retain_set_id),
            holdout=self._item_set(spec.holdout_set_id),
            # Also where training does not read it: attacks fine-tune on texts about nothing in particular.
            general=self._item_set(spec.general_set_id or base_model.general_set_id),
            device=self._settings.device,
            work_dir=work_dir,
            gradient_checkpointing=self._settings.gradient_checkpointing,
        )
        measured = MeasuredRun(
            choose_device(self._settings.device),
            self._settings.device_memory_bytes,
            admission_of(backends),
            ways=("gradient checkpointing",) if self._settings.gradient_checkpointing else (),
            devices=self._settings.devices,
        )
        ran = measured(job, lambda: self._ran(task, monitor))
        return Outcome(
            adapter_zip=ran.adapter_zip,
            report_json=ran.report.model_dump_json().encode(),
            report_html=ran.report_html.encode(),
            dispositions=ran.dispositions,
        )

    def is_fit_for_another(self) -> bool:
        """Drop what the job left in memory, and return whether the base model is exactly as it was loaded."""
        if self._settings.devices > 1:
            return False
        gc.collect()  # cycles hold texts too
        gc.freeze()  # nor need what the job imported, and its base model, be looked at again
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # an idle runner must not hold more of a GPU than its model
        changes = self._base_model.changes()
        if changes:
            log.warning("a job changed the base model: the runner ends", places=len(changes), first=changes[:_NAMED])
        return not changes

    def _ran(self, task: RunTask, monitor: DatabaseJobMonitor) -> RunOutcome:
        world = self._world(task, monitor)
        return run(task, world.monitor, world.cache, world.texts, utc_now, world.load)

    def _answer(self, task: ProbeTask, monitor: DatabaseJobMonitor) -> Answer:
        world = self._world(task, monitor)
        return Answer(probe(task, world.monitor, utc_now, world.load).model_dump_json().encode())

    def _world(self, task: RunTask | ProbeTask, monitor: DatabaseJobMonitor) -> World:
        mine = World(monitor, self._backends.store, self._backends.items, self._base_model)
        return mine if self._settings.devices == 1 else spread(mine, task, self._settings)

    def _item_set(self, set_id: str | None) -> ItemSet | None:
        return None if set_id is None else self._backends.items.get(set_id)
