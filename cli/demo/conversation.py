import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from cli.errors import CommandError
from core.domain.items import PairItem

_WITHIN_SECONDS = 180.0


@dataclass(frozen=True)
class Answer:
    """A question with what is true and what the model says, without the adapter and with it."""

    question: PairItem
    before: str
    after: str

    @property
    def recited_before(self) -> bool:
        """Whether the base model gives the true answer word for word."""
        return self.before.strip() == self.question.completion.strip()

    @property
    def recited_after(self) -> bool:
        """Whether the model with the adapter does."""
        return self.after.strip() == self.question.completion.strip()


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    before: list[str]
    after: list[str]


def ask(questions: Sequence[PairItem], *, base: Path, adapter: Path) -> list[Answer]:
    """Return the answers, given in a fresh process that knows the base model, the adapter and no Lethe.

    Raises:
        CommandError: the process failed; the message is the last line that it wrote.
    """
    prompts = TypeAdapter(list[str]).dump_json([question.prompt for question in questions])
    spoken = subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-m", "cli.demo.speak", str(base), str(adapter)],
        input=prompts,
        capture_output=True,
        timeout=_WITHIN_SECONDS,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},  # both directories are here; nothing is to be looked up elsewhere
        start_new_session=True,  # Ctrl-C is for us; ``run`` ends the child itself
    )
    if spoken.returncode:
        last = spoken.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise CommandError(f"plain peft could not use the adapter: {' '.join(last)}")
    said = _Said.model_validate_json(spoken.stdout)
    return [Answer(*row) for row in zip(questions, said.before, said.after, strict=True)]
