import os
import queue
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

import torch
from structlog.contextvars import bind_contextvars

from core.modeling.base_model import load_base_model
from core.pipeline.probe import probe
from core.pipeline.run import run
from core.pipeline.task import RunTask
from worker.composition import utc_now
from worker.exit_codes import RunnerExit
from worker.lockstep import Ear, HeardCache, HeardMonitor, HeardTexts, Part, Reply
from worker.logs import configure_logging, get_logger
from worker.process_group import join

# What fails here fails in the runner as well, for they do the same, and it needs a while to record that.
_RUNNER_SECONDS = 300.0

log = get_logger(__name__)


def main() -> None:
    """Hold a part of a run's model: ``python -m worker.follower``, started and told everything by the runner.

    It opens no database, no store and no queue. It ends when the runner does, whose end closes our stdin.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the runner, which says when this is over
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would put the texts on disk
    told: queue.SimpleQueue[object] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(told,), name="replies", daemon=True).start()
    try:
        _take(_part(told.get()), told)
    except Exception:
        log.exception("a part of a run failed")
        time.sleep(_RUNNER_SECONDS)
        os._exit(RunnerExit.UNEXPECTED)
    threading.Event().wait()  # for the end of the runner: its death is ours, and it has not delivered yet


def _take(part: Part, told: "queue.SimpleQueue[object]") -> None:
    configure_logging(part.log_level)
    bind_contextvars(rank=part.rank)
    ear = Ear(lambda: _reply(told.get()))
    if part.torch_threads is not None:
        torch.set_num_threads(part.torch_threads)
    join(part.task.device, rank=part.rank, size=part.size, rendezvous=part.rendezvous)
    torch.manual_seed(0)  # as the runner does
    load = partial(load_base_model, sharded=True)
    work_dir = part.task.work_dir / str(part.rank)
    work_dir.mkdir(mode=0o700)
    if isinstance(part.task, RunTask):
        task = replace(part.task, work_dir=work_dir)
        run(task, HeardMonitor(ear), HeardCache(ear), HeardTexts(ear), utc_now, load)
    else:
        probe(replace(part.task, work_dir=work_dir), HeardMonitor(ear), utc_now, load)


def _listen(told: "queue.SimpleQueue[object]") -> None:
    with suppress(EOFError), Connection(os.dup(sys.stdin.fileno()), writable=False) as connection:
        while True:
            told.put(connection.recv())
    os._exit(RunnerExit.STOPPED)


def _part(told: object) -> Part:
    if not isinstance(told, Part):
        raise TypeError(f"expected a part of a run, was told a {type(told).__name__}")
    return told


def _reply(told: object) -> Reply:
    if not isinstance(told, Reply):
        raise TypeError(f"expected a reply, was told a {type(told).__name__}")
    return told


if __name__ == "__main__":
    main()
