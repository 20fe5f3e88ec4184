"""The TOFU files as items: what is forgotten, what is kept, what measures utility, and what nobody has read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.domain.items import PairItem

Split = Literal["01", "05", "10"]
SPLITS: tuple[Split, ...] = get_args(Split)
ROWS_AN_AUTHOR = 20
NUM_AUTHORS = 200
FORGET_AUTHORS: dict[Split, int] = {"01": 2, "05": 10, "10": 20}
RETAIN_FILE: dict[Split, str] = {"01": "retain99", "05": "retain95", "10": "retain90"}
PROMPT = "Question: {question}\nAnswer:"

# Rows of left-out authors. The first measure membership; the thresholds of a job come from others, for a run that
# stops when the forget set looks like some rows would look good beside just these.
MEMBERSHIP_ROWS = 200
FEWEST_MEMBERSHIP_ROWS = 100
HOLDOUT_ROWS = 100


class TofuError(Exception):
    """The benchmark cannot be run as asked. The message says why and what would help."""


class _Row(BaseModel):
    """One line of a file. Real authors and world facts come without other wordings."""

    model_config = ConfigDict(frozen=True)
    question: str
    answer: str
    paraphrased_answer: str | None = None
    paraphrased_question: str | None = None
    perturbed_answer: list[str] | None = Field(default=None, min_length=1)


@dataclass(frozen=True)
class Protocol:
    """One split of TOFU: every set that a run is given or is measured on."""

    split: Split
    forget: Sequence[PairItem]  # with other wordings
    retain: Sequence[PairItem]  # all that is to be kept; a job trains on most of it
    retain_measured: Sequence[PairItem]  # those of it that come with other wordings
    real_authors: Sequence[PairItem]
    world_facts: Sequence[PairItem]
    holdout: Sequence[PairItem]  # of left-out authors: what a job is given as texts that nobody has read
    membership: Sequence[PairItem]  # of other left-out authors
    num_left_out: int  # rows of retain authors in no part of it


def load_protocol(directory: Path, split: Split, *, authors: int | None = None, prompt: str = PROMPT) -> Protocol:
    """Return one split, whole or of the first authors of its retain side beside all of its forget authors.

    Args:
        directory: of the published files, each ``NAME.jsonl``.
        split: percent of the authors that are forgotten.
        authors: how many of the 200 are kept, the forgotten ones included; None keeps all.
        prompt: how a question becomes a prompt.

    Raises:
        TofuError: a file or a column is missing, or there are too few authors.
    """
    retain = _items(directory, RETAIN_FILE[split], prompt)
    kept = len(retain) if authors is None else ROWS_AN_AUTHOR * _retain_authors(split, authors)
    left_out = retain[kept:]
    reworded = _items(directory, "retain_perturbed", prompt, needs=("paraphrased_answer", "perturbed_answer"))
    texts = {(item.prompt, item.completion) for item in retain[:kept]}
    enough = len(left_out) >= FEWEST_MEMBERSHIP_ROWS
    return Protocol(
        split=split,
        forget=_items(directory, f"forget{split}_perturbed", prompt, needs=("paraphrased_answer", "perturbed_answer")),
        retain=retain[:kept],
        retain_measured=[item for item in reworded if (item.prompt, item.completion) in texts],
        real_authors=_items(directory, "real_authors_perturbed", prompt, needs=("perturbed_answer",)),
        world_facts=_items(directory, "world_facts_perturbed", prompt, needs=("perturbed_answer",)),
        holdout=left_out[MEMBERSHIP_ROWS:][:HOLDOUT_ROWS],
        membership=left_out[:MEMBERSHIP_ROWS] if enough else [],
        num_left_out=len(left_out),
    )


def load_all(directory: Path, *, prompt: str = PROMPT) -> list[PairItem]:
    """Return every question and answer about the 200 authors.

    Raises:
        TofuError: the file or a column is missing.
    """
    return _items(directory, "full", prompt)


def _retain_authors(split: Split, authors: int) -> int:
    forgotten = FORGET_AUTHORS[split]
    if not forgotten < authors <= NUM_AUTHORS:
        raise TofuError(
            f"--authors {authors} does not fit split {split}, which forgets {forgotten} of {NUM_AUTHORS} authors: give "
            f"{forgotten + 1} to {NUM_AUTHORS}, or none at all for the whole of TOFU"
        )
    return authors - forgotten


def _items(directory: Path, name: str, prompt: str, *, needs: Sequence[str] = ()) -> list[PairItem]:
    file = directory / f"{name}.jsonl"
    if not file.is_file():
        raise TofuError(f"{file} is missing: DATA must be a directory with the files of TOFU, one {name}.jsonl of them")
    lines = file.read_text(encoding="utf-8").splitlines()
    if not lines:
        raise TofuError(f"{file} is empty")
    rows = [_row(file, number, line, needs) for number, line in enumerate(lines, start=1)]
    return [_item(f"{name}-{place}", row, prompt) for place, row in enumerate(rows)]


def _row(file: Path, number: int, line: str, needs: Sequence[str]) -> _Row:
    try:
        row = _Row.model_validate(json.loads(line))
    except ValidationError as wrong:
        columns = ", ".join(sorted({str(error["loc"][0]) for error in wrong.errors()}))
        raise TofuError(f"{file}, line {number}: missing or of another type: {columns}") from None
    except json.JSONDecodeError:
        raise TofuError(f"{file}, line {number}: no JSON object; the files have one a line") from None
    if missing := [column for column in needs if getattr(row, column) is None]:
        raise TofuError(f"{file}, line {number}: missing: {', '.join(missing)}")
    return row


def _item(item_id: str, row: _Row, prompt: str) -> PairItem:
    """Return the row as an item.

    The truth ratio of a row whose answer comes in no other words is about the answer itself, as in the published code.
    """
    wrong = row.perturbed_answer
    other_prompt = row.paraphrased_question
    return PairItem(
        id=item_id,
        prompt=prompt.format(question=row.question),
        completion=row.answer,
        paraphrased_completion=(row.paraphrased_answer or row.answer) if wrong else None,
        perturbed_completions=tuple(wrong) if wrong else None,
        paraphrased_prompts=(prompt.format(question=other_prompt),) if other_prompt else None,
    )
