import faulthandler
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import NoReturn, Protocol

from structlog.contextvars import bound_contextvars

from core.domain.job import Job
from worker.composition import Backends, attempts_of, open_backends
from worker.delivery import Answer, Outcome
from worker.execution import Execution, StopRequestedError
from worker.exit_codes import RunnerExit
from worker.logs import configure_logging
from worker.monitor import DatabaseJobMonitor
from worker.orders import Orders
from worker.processes import READY
from worker.settings import WorkerSettings


class Recipe(Protocol):
    """The mathematics of a runner's jobs."""

    def __call__(self, job: Job, monitor: DatabaseJobMonitor) -> Outcome | Answer:
        """Return what becomes of a job."""
        ...

    def is_fit_for_another(self) -> bool:
        """Drop what a job left, and return whether nothing of it can reach another one."""
        ...


def main() -> None:
    """Run attempts, one after the other: ``python -m worker.runner``, started and told which by the supervisor."""
    run_attempts(_torch_recipe)


def run_attempts(open_recipe: Callable[[Backends, WorkerSettings], Recipe]) -> NoReturn:
    """Run the attempts that the supervisor orders, say that another may come as long as that is so, and end.

    The order matters: being an orphan, being asked to stop and being wrong must have their consequences before
    the seconds that importing torch takes, which opening the recipe does.
    """
    orders = Orders()
    signal.signal(signal.SIGTERM, _stop)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would put the texts on disk
    say_ready = _only_voice()
    settings = WorkerSettings()
    configure_logging(settings.log_level)
    try:
        end = _run_attempts(orders, settings, open_recipe, say_ready)
    except StopRequestedError:  # between two attempts
        end = RunnerExit.STOPPED
    # Everything is recorded. Taking torch down module by module costs seconds, in which the worker would take no job.
    logging.shutdown()
    os._exit(end)


def _run_attempts(
    orders: Orders,
    settings: WorkerSettings,
    open_recipe: Callable[[Backends, WorkerSettings], Recipe],
    say_ready: Callable[[], None],
) -> RunnerExit:
    backends = open_backends(settings)
    recipe = open_recipe(backends, settings)
    execute = Execution(
        attempts=attempts_of(settings, backends),
        store=backends.store,
        recipe=recipe,
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    for served in count(1):
        order = orders.next(within_seconds=settings.runner_idle_seconds)
        if order is None:
            break
        with bound_contextvars(job_id=order.job_id, fence=order.fence):
            end = execute(order.job_id, order.fence)
            is_last = end is not RunnerExit.FINISHED or served == settings.runner_max_jobs
            if is_last or not recipe.is_fit_for_another():
                return end
        say_ready()
    return RunnerExit.IDLE


def _torch_recipe(backends: Backends, settings: WorkerSettings) -> Recipe:
    from worker.recipe import TorchRecipe  # noqa: PLC0415  # for the reason that run_attempts gives

    return TorchRecipe(backends, settings)


def _only_voice() -> Callable[[], None]:
    """Return what tells the supervisor, over our stdout; what anybody else prints goes to stderr from now on."""
    voice = os.dup(sys.stdout.fileno())  # not inherited by children, whose lives would keep the pipe open
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return lambda: _say(voice)


def _say(voice: int) -> None:
    os.write(voice, READY)


def _stop(_: int, __: FrameType | None) -> None:
    raise StopRequestedError


if __name__ == "__main__":
    main()
