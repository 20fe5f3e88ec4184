from dataclasses import dataclass
from functools import partial

from core.domain.catalog import MethodOptions
from core.domain.errors import UnsupportedBaseModelError
from core.domain.options import TrainedOptions
from core.modeling.base_model import LoadBaseModel, load_base_model
from core.pipeline.probe import ProbeTask
from core.pipeline.task import RunTask
from core.ports import Cache, JobMonitor, TextCache
from worker.followers import Followers
from worker.lockstep import Part, ToldCache, ToldMonitor, ToldTexts
from worker.process_group import join, require_devices
from worker.settings import WorkerSettings

_RENDEZVOUS = "rendezvous"  # in the work directory of the attempt, which nobody else can read


@dataclass(frozen=True)
class World:
    """What a run asks, and where it gets its base model."""

    monitor: JobMonitor
    cache: Cache
    texts: TextCache
    load: LoadBaseModel


def spread(world: World, task: RunTask | ProbeTask, settings: WorkerSettings) -> World:
    """Return the world of a run of which other processes take their parts from now on, each on a device of its own.

    They do what this one does in the same order, with the same answers; their models are parts of one.

    Raises:
        WorkerUnfitError: this machine has fewer devices than the settings say.
        UnsupportedBaseModelError: the method passes backward twice through a layer, which FSDP gathers once.
    """
    if isinstance(task, RunTask):
        _require_single_gradient(task.spec.method)
    size, rendezvous = settings.devices, task.work_dir / _RENDEZVOUS
    require_devices(task.device, size)
    part = Part(0, size, rendezvous, settings.torch_threads, settings.log_level, task)
    voice = Followers.start(part).voice
    join(task.device, rank=0, size=size, rendezvous=rendezvous)
    return World(
        monitor=ToldMonitor(world.monitor, voice),
        cache=ToldCache(world.cache, voice),
        texts=ToldTexts(world.texts, voice),
        load=partial(load_base_model, sharded=True),
    )


def _require_single_gradient(options: MethodOptions) -> None:
    if isinstance(options, TrainedOptions) and options.differentiates_twice:
        raise UnsupportedBaseModelError(
            f"{options.name} differentiates twice, and this worker spreads the base model over several devices, which "
            "allows that once: ask for another method"
        )
