from collections.abc import Sequence
from dataclasses import dataclass

from core.data.corpus import Example, ItemEncoder
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem, TextItem


@dataclass(frozen=True)
class SubjectRow:
    """A text about a subject as the model reads it, and where the subject ends."""

    example: Example
    subject: int  # place of the token that holds the subject's last character


@dataclass(frozen=True)
class Fact:
    """A fact as rows: as it is, behind other texts, and its subject alone."""

    plain: SubjectRow
    in_contexts: tuple[SubjectRow, ...]
    essence: SubjectRow  # its label is of no account: what the model says there is to stay

    @property
    def stated(self) -> tuple[SubjectRow, ...]:
        """The rows that state the fact."""
        return (self.plain, *self.in_contexts)

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows."""
        return sum(len(row.example.tokens) for row in (*self.stated, self.essence))


def encode_facts(
    encode: ItemEncoder, items: Sequence[TextItem | PairItem | FactItem], contexts: Sequence[str]
) -> list[Fact]:
    """Return the facts as rows. A context that makes one too long for the model is left out for that fact.

    Raises:
        UnsupportedBaseModelError: an item names no subject in its prompt, which is refused at submission.
    """
    return [_fact(encode, item, contexts) for item in items]


def _fact(encode: ItemEncoder, item: TextItem | PairItem | FactItem, contexts: Sequence[str]) -> Fact:
    if not isinstance(item, FactItem):
        raise UnsupportedBaseModelError(f"item {item.id} names no subject: the method law edits facts about a subject")
    behind = [item.model_copy(update={"prompt": context + item.prompt}) for context in contexts]
    return Fact(
        plain=_row(encode, item),
        in_contexts=tuple(_row(encode, longer) for longer in behind if _fits(encode, longer)),
        essence=_essence(encode, item),
    )


def _fits(encode: ItemEncoder, item: FactItem) -> bool:
    try:
        encode([item])
    except UnsupportedBaseModelError:
        return False
    return True


def _row(encode: ItemEncoder, item: FactItem) -> SubjectRow:
    (example,) = encode([item])
    # A token across the seam is read by nobody before it is said, so a subject that ends in it ends before it.
    return SubjectRow(example, min(encode.subject_place(item), example.first_label - 1))


def _essence(encode: ItemEncoder, item: FactItem) -> SubjectRow:
    """Return the text up to the subject in the published ``{subject} is a``, with whatever follows as its label."""
    row = _row(encode, item.model_copy(update={"prompt": f"{item.subject.strip()} is a", "completion": "."}))
    tokens = row.example.tokens[: row.subject + 2]
    return SubjectRow(
        Example(id=row.example.id, tokens=tokens, first_label=row.subject + 1, num_trailing=0), row.subject
    )
