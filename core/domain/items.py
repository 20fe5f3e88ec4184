import unicodedata
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)
from pydantic_core import PydanticCustomError


def _require_visible(text: str) -> str:
    """Return the text unless every character of it is a separator, a control or a format character, as U+200B is."""
    if all(unicodedata.category(character)[0] in "ZC" for character in text):
        raise PydanticCustomError("empty_text", "the text holds no visible character")
    return text


def _as_tuple(value: object) -> object:
    """Return a list as a tuple: strict validation takes no list that was parsed before for one."""
    return tuple(value) if isinstance(value, list) else value


ItemId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S"), AfterValidator(_require_visible)]

Paraphrase = Annotated[
    Text | None, Field(description="The completion in other words; with perturbed_completions for the truth ratio.")
]
Perturbations = Annotated[
    tuple[Text, ...] | None,
    Field(min_length=1, max_length=16, description="Wrong completions of the same form, for the truth ratio."),
    BeforeValidator(_as_tuple),
]
Rewordings = Annotated[
    tuple[Text, ...] | None,
    Field(min_length=1, max_length=8, description="The prompt in other words, to ask for the completion by these too."),
    BeforeValidator(_as_tuple),
]

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class TextItem(BaseModel):
    """A passage, all of whose tokens are to be forgotten or retained."""

    model_config = _FROZEN
    id: ItemId | None = None
    text: Text


class PairItem(BaseModel):
    """A prompt and its completion; only the completion is scored. Other wordings are measured and never trained on."""

    model_config = _FROZEN
    id: ItemId | None = None
    prompt: Text
    completion: Text
    paraphrased_completion: Paraphrase = None
    perturbed_completions: Perturbations = None
    paraphrased_prompts: Rewordings = None


class FactItem(BaseModel):
    """A pair that also names its subject, as methods that edit facts need."""

    model_config = _FROZEN
    id: ItemId | None = None
    subject: Text
    prompt: Text
    completion: Text
    paraphrased_completion: Paraphrase = None
    perturbed_completions: Perturbations = None
    paraphrased_prompts: Rewordings = None


def _kind(value: Any) -> str:
    """Choose the one shape that errors are reported against, so a slip in a pair is not reported three times."""
    names = set(value) if isinstance(value, dict) else set(getattr(value, "model_fields_set", ()))
    if "subject" in names:
        return "fact"
    return "pair" if names & {"prompt", "completion"} else "text"


Item = Annotated[
    Annotated[TextItem, Tag("text")] | Annotated[PairItem, Tag("pair")] | Annotated[FactItem, Tag("fact")],
    Discriminator(_kind),
]


def normalized(item: TextItem | PairItem | FactItem) -> str:
    """Return the identity of an item's content: NFC, white space folded, case kept, id ignored.

    Two items with the same identity are the same text to a model, whatever their ids and also when one is
    a text and the other a pair: they must not be both forgotten and retained.
    """
    text = item.text if isinstance(item, TextItem) else f"{item.prompt} {item.completion}"
    return " ".join(unicodedata.normalize("NFC", text).split())


def characters(item: TextItem | PairItem | FactItem) -> int:
    """Return the length of what the model would read at once, in characters: of the longest wording of an item."""
    if isinstance(item, TextItem):
        return len(item.text)
    return max(len(pair.prompt) + len(pair.completion) for pair in (item, *wordings(item)))


def wordings(item: TextItem | PairItem | FactItem) -> list[PairItem]:
    """Return what an item asks to be measured besides itself, as pairs without ids."""
    if isinstance(item, TextItem):
        return []
    completions = [item.paraphrased_completion, *(item.perturbed_completions or ())]
    return [
        *(PairItem(prompt=item.prompt, completion=text) for text in completions if text is not None),
        *(PairItem(prompt=text, completion=item.completion) for text in item.paraphrased_prompts or ()),
    ]


def subject_end(item: FactItem) -> int | None:
    """Return where the subject's last occurrence in the prompt ends, in characters; None where there is none."""
    subject = item.subject.strip()
    start = item.prompt.rfind(subject)
    return None if start < 0 else start + len(subject)
