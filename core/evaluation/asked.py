from dataclasses import dataclass, replace

from core.data.corpus import AnyItem, ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import FactItem, PairItem, TextItem
from core.evaluation.attack import NoAttackError


@dataclass(frozen=True)
class Asked:
    """An item as something to be asked for."""

    pair: PairItem | FactItem
    encode: ItemEncoder
    is_text: bool


def asked_for(item: AnyItem, encode: ItemEncoder) -> Asked:
    """Return the item as a pair; a text is cut in two and read as one, without the base model's text format.

    Raises:
        NoAttackError: the text is too short to be cut.
    """
    if not isinstance(item, TextItem):
        return Asked(item, encode, is_text=False)
    middle = _middle(item.text)
    # Without validation, whose errors would quote the text.
    pair = PairItem.model_construct(id=item.id, prompt=item.text[:middle], completion=item.text[middle:])
    return Asked(pair, replace(encode, text_format=TextFormat(ends_with_eos=False)), is_text=True)


def _middle(text: str) -> int:
    """Return where the second half of a text begins: at the white space nearest to its middle, if there is any."""
    visible = range(len(text) - len(text.lstrip()) + 1, len(text.rstrip()))
    if not visible:
        raise NoAttackError("the text is too short to be cut in two")
    gaps = [at for at in visible if text[at].isspace()]
    return min(gaps or visible, key=lambda at: abs(at - len(text) / 2))
