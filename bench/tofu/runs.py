"""Runs that are kept: one line of JSON each, so that a benchmark that was interrupted goes on where it stopped."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bench.tofu.data import Protocol, Split
from bench.tofu.measure import ModelNumbers
from core.domain.item_set import dump_items

FULL = "full model"
REFERENCE = "retain-only reference"
# What decides the numbers of a run.
_SOURCES = ("bench", "cli/demo/tokenizer.py", "core", "requirements.lock")
_FROZEN = ConfigDict(frozen=True)


class RunKey(BaseModel):
    """What a run is of. Another key is another run, also when only the commit differs."""

    model_config = _FROZEN
    commit: str
    data: str  # digest of every text of the split as it was used
    model: str  # digest of the model that is measured, or that the method works on
    method: str  # as on the command line, or one of FULL and REFERENCE
    seed: int
    split: Split
    authors: int | None
    max_steps: int


class Run(BaseModel):
    """What one run came to. Holds numbers, no text."""

    model_config = _FROZEN
    key: RunKey
    outcome: str  # the verdict, the code of the failure, or nothing for a model that no job has touched
    numbers: ModelNumbers | None = None  # None: the job failed, so there is no model to measure
    forgot_at: int | None = None  # the first checked step with the forget set's means under their limits; None: none
    was_checked: bool = False  # whether any step was checked
    steps: int | None = None
    train_seconds: float | None = None  # with what comes before the first step: Fisher information, the start
    job_seconds: float | None = None


@dataclass(frozen=True)
class RunLog:
    """The runs of a file, in the order in which they were made."""

    file: Path

    def kept(self, key: RunKey, make: Callable[[], Run]) -> Run:
        """Return the run of this key, after making it and writing it down unless it is there."""
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            if line.endswith("}") and (run := Run.model_validate_json(line)).key == key:
                return run
        run = make()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as stream:
            stream.write(f"{run.model_dump_json()}\n")
        return run


def data_digest(protocol: Protocol) -> str:
    """Return a digest of every text of a split."""
    whole = hashlib.sha256()
    for name, value in vars(protocol).items():
        whole.update(name.encode())
        whole.update(dump_items(value) if isinstance(value, list) else str(value).encode())
    return whole.hexdigest()[:20]


def code_version() -> str:
    """Return the last commit that changed what decides the numbers, and a digest of changes since then."""
    commit = _git("log", "-1", "--format=%h", "--", *_SOURCES)
    changes = _git("diff", "HEAD", "--", *_SOURCES)
    mark = f"-dirty-{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else ""
    return f"{commit or 'unknown'}{mark}"


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return ran.stdout.strip()
