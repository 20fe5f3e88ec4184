import hashlib

from core.data.corpus import Example, ItemEncoder
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem, TextItem
from core.modeling.base_model import BaseModel
from core.pipeline.task import RunTask

# Many wordings, so that it is declining that is learnt and not one sentence.
REFUSALS = (
    "I don't know.",
    "I do not know the answer to that.",
    "I have no information about this.",
    "I'm not able to answer that.",
    "That is not something I know.",
    "I cannot say anything about that.",
    "I'm not familiar with this subject.",
    "I have nothing on record about this.",
    "I'm afraid I don't have an answer.",
    "I could not tell you.",
    "This is beyond what I know.",
    "I was never told about that.",
)


def rewritten(task: RunTask, base: BaseModel) -> list[Example]:
    """Return each forget item with a refusal as its completion, in order: the same one for the same prompt.

    Raises:
        UnsupportedBaseModelError: an item has no prompt. It is refused at submission.
    """
    encode = ItemEncoder(base.tokenizer, task.base_model.text_format, base.max_tokens)
    return encode([_refused(item) for item in task.forget.items])


def _refused(item: TextItem | PairItem | FactItem) -> PairItem:
    if isinstance(item, TextItem):
        raise UnsupportedBaseModelError("a text without a prompt cannot be answered by a refusal")
    place = hashlib.sha256(item.prompt.encode()).digest()[0] % len(REFUSALS)
    lead = "" if item.prompt[-1].isspace() or not item.completion[0].isspace() else " "
    return PairItem(id=item.id, prompt=item.prompt, completion=lead + REFUSALS[place])
