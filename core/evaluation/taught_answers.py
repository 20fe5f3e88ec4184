from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from core.data.corpus import AnyItem, Example, ItemEncoder
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import TextItem
from core.evaluation.asked import Asked, asked_for
from core.evaluation.attack import NoAttackError

# An attacker's words before a prompt that came without other wordings.
FRAMES = ("Tell me: ", "Once more: ", "Somebody asks: ", "For the record: ")
# Rows of each answer. An item with fewer wordings has some twice, so that all are trained on alike.
WORDINGS = len(FRAMES)


@dataclass(frozen=True)
class Answer:
    """An item's answer behind other wordings, to be trained on, and as it is measured.

    A text has its second half for an answer and its first for a prompt.
    """

    rows: list[Example]
    asked: Example
    is_text: bool


def have_own_wordings(items: Sequence[AnyItem]) -> bool:
    """Return whether all pairs bring other wordings of their prompts.

    Where some do not, none should be taught behind its own: what is compared is taught alike.
    """
    return all(isinstance(item, TextItem) or item.paraphrased_prompts for item in items)


def taught_answers(
    items: Sequence[AnyItem], encode: ItemEncoder, *, with_own: bool
) -> tuple[list[Answer], dict[str, str]]:
    """Return the answers of the items, and by id the reason of those that cannot be taught.

    Args:
        items: pairs and texts.
        encode: reads them.
        with_own: whether pairs are taught behind their own other wordings instead of an attacker's words.
    """
    answers, missing = [], {}
    for item in items:
        try:
            asked = asked_for(item, encode)
            rows = list(islice(_reworded(asked, with_own=with_own), WORDINGS))
            answers.append(Answer(rows, asked.encode([asked.pair])[0], asked.is_text))
        except NoAttackError as error:
            missing[str(item.id)] = str(error)
    return answers, missing


def matched(ours: Sequence[Answer], theirs: Sequence[Answer]) -> list[tuple[Answer, Answer]]:
    """Return each answer with another of its kind, the nearest in length that is left, as long as there is one.

    A long answer takes longer to learn, and a text is read otherwise than a pair.
    """
    left = list(theirs)
    pairs = []
    for answer in ours:
        place = _nearest(answer, left)
        if place is not None:
            pairs.append((answer, left.pop(place)))
    return pairs


def _nearest(answer: Answer, others: Sequence[Answer]) -> int | None:
    """Return the place of the first of the others that is nearest in length, None where none is of the kind."""
    length = len(answer.asked.answer)
    away = {
        place: abs(len(other.asked.answer) - length)
        for place, other in enumerate(others)
        if other.is_text == answer.is_text
    }
    return min(away, key=away.__getitem__, default=None)


def _reworded(asked: Asked, *, with_own: bool) -> Iterator[Example]:
    """Return the answer behind one wording after the other, over and over. A text has none of its own."""
    prompts = (asked.pair.paraphrased_prompts if with_own else None) or [
        f"{words}{asked.pair.prompt}" for words in FRAMES
    ]
    fitting = [example for prompt in prompts if (example := _behind(asked, prompt)) is not None]
    if not fitting:
        raise NoAttackError("behind other wordings the item is too long for the model")
    return cycle(fitting)


def _behind(asked: Asked, prompt: str) -> Example | None:
    try:
        return asked.encode([asked.pair.model_copy(update={"prompt": prompt})])[0]
    except UnsupportedBaseModelError:
        return None
