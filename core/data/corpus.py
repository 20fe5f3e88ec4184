from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from core.domain.base_model import TextFormat
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem, TextItem, subject_end

AnyItem = TextItem | PairItem | FactItem

# Stands in for a completion to learn what a chat template writes around it; private-use characters, in nobody's text.
_STAND_IN = "\ue000completion\ue001"


@dataclass(frozen=True)
class Example:
    """One item as the model reads it.

    The scored tokens are ``tokens[first_label:]``; of these the last ``num_trailing`` are the format's own (an end of
    sequence token, the closing of a chat turn). Trailing tokens are trained on in the retain set, so that a model that
    knew when to stop still does, but they belong to nobody: they are neither forgotten nor measured.
    """

    id: str
    tokens: tuple[int, ...]
    first_label: int
    num_trailing: int
    prompted: bool = True  # False for a text: what precedes its labels is its own first token

    @property
    def num_labels(self) -> int:
        """Number of scored tokens, the trailing ones included."""
        return len(self.tokens) - self.first_label

    @property
    def answer(self) -> tuple[int, ...]:
        """The tokens that carry the item's content, in order."""
        return self.tokens[self.first_label : len(self.tokens) - self.num_trailing]


@dataclass(frozen=True)
class ItemEncoder:
    """Turns items into examples for one tokenizer and one text format."""

    tokenizer: PreTrainedTokenizerBase
    text_format: TextFormat
    max_tokens: int

    def __call__(self, items: Sequence[AnyItem]) -> list[Example]:
        """Return an example for each item, in order.

        Prompt and completion are tokenised as the one text they form, because tokenising them apart breaks the token
        that spans the seam; a token is a label when it reaches into the completion.

        Raises:
            UnsupportedBaseModelError: the chat template fails or changes the completion, or the encoded item is too
                long or holds nothing to score. Items are checked against the limits at submission, so this is rare.
        """
        return [self._encode(item) for item in items]

    def opened(self, item: PairItem | FactItem, opening: str) -> Example:
        """Return the pair with words between prompt and completion that are read but not scored.

        They open the reply: in a chat they stand in the assistant's turn, before the completion.

        Raises:
            UnsupportedBaseModelError: as when the encoder is called.
        """
        reply = item.model_copy(update={"completion": f"{opening} {item.completion.lstrip()}"})
        text, start, end, special = self._render(reply)
        return self._example(reply, text, start=start + len(opening), end=end, special=special)

    def subject_place(self, item: FactItem) -> int:
        """Return the place of the token that holds the last character of the subject, where it last is in the prompt.

        Raises:
            UnsupportedBaseModelError: it is not in the prompt, or the chat template changes the prompt. Subjects are
                checked at submission.
        """
        end = subject_end(item)
        if end is None:
            raise UnsupportedBaseModelError(f"the subject of item {item.id} does not occur in its prompt")
        text, _, _, special = self._render(item)
        end += self._prompt_start(item, text)
        _, spans = self._tokenize(text, special=special)
        return max(place for place, (begin, _) in spans.items() if begin < end)

    def _encode(self, item: AnyItem) -> Example:
        text, start, end, special = self._render(item)
        return self._example(item, text, start=start, end=end, special=special)

    def _example(self, item: AnyItem, text: str, *, start: int, end: int, special: bool) -> Example:
        tokens, spans = self._tokenize(text, special=special)
        first = min((place for place, (_, stop) in spans.items() if stop > start), default=len(tokens))
        last = max((place for place, (begin, stop) in spans.items() if begin < end and stop > begin), default=-1)
        trailing = len(tokens) - 1 - last
        if not isinstance(item, TextItem) and self._appends_eos(tokens):
            tokens.append(self.tokenizer.eos_token_id)
            trailing += 1
        prompted = not isinstance(item, TextItem)
        return self._checked(Example(str(item.id), tuple(tokens), max(first, 1), trailing, prompted))

    def _tokenize(self, text: str, *, special: bool) -> tuple[list[int], dict[int, tuple[int, int]]]:
        """Return the tokens of the text, and the span of text of each but those that the tokenizer adds."""
        encoding = self.tokenizer(
            text, add_special_tokens=special, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        return list(encoding["input_ids"]), _whole_spans(encoding["offset_mapping"], encoding["special_tokens_mask"])

    def _appends_eos(self, tokens: Sequence[int]) -> bool:
        wanted = self.text_format.join == "separator" and self.text_format.ends_with_eos
        eos = self.tokenizer.eos_token_id
        return wanted and eos is not None and tokens[-1:] != [eos]

    def _render(self, item: AnyItem) -> tuple[str, int, int, bool]:
        """Return the text, where its scored part starts and ends, and whether the tokenizer adds special tokens."""
        if isinstance(item, TextItem):
            return item.text, 0, len(item.text), True
        if self.text_format.join == "chat_template":
            return self._render_chat(item)
        prefix = item.prompt + _separator(item, self.text_format.separator)
        text = prefix + item.completion
        return text, len(prefix), len(text), True

    def _render_chat(self, item: PairItem | FactItem) -> tuple[str, int, int, bool]:
        """Return the turns as text; the completion is what differs from the same turns around a stand-in.

        Searching for the completion would find the template's own words: "end" is in ``<|im_end|>``.
        """
        prefix, found, suffix = self._apply_chat_template(item.prompt, _STAND_IN).partition(_STAND_IN)
        text = self._apply_chat_template(item.prompt, item.completion)
        end = len(text) - len(suffix)
        framed = bool(found) and text.startswith(prefix) and text.endswith(suffix)
        # Templates may trim their turns, and nothing else.
        if not framed or text[len(prefix) : end].strip() != item.completion.strip():
            raise UnsupportedBaseModelError("the chat template of this base model does not reproduce a completion")
        return text, len(prefix), end, False  # the template has written the special tokens already

    def _prompt_start(self, item: FactItem, text: str) -> int:
        """Return where in the rendered text the prompt begins, or would begin had its turn not been trimmed."""
        if self.text_format.join == "separator":
            return 0
        before, _, _ = self._apply_chat_template(_STAND_IN, item.completion).partition(_STAND_IN)
        start = text.find(item.prompt.strip(), len(before)) if text.startswith(before) else -1
        if start < 0:
            raise UnsupportedBaseModelError("the chat template of this base model does not reproduce a prompt")
        return start - (len(item.prompt) - len(item.prompt.lstrip()))

    def _apply_chat_template(self, prompt: str, completion: str) -> str:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False))
        except TemplateError:  # its message may quote the turns, so it is not chained
            raise UnsupportedBaseModelError(
                "the chat template of this base model fails on a prompt and reply"
            ) from None

    def _checked(self, example: Example) -> Example:
        if len(example.tokens) > self.max_tokens:
            raise UnsupportedBaseModelError(
                f"item {example.id} has {len(example.tokens)} tokens in this base model's format; at most "
                f"{self.max_tokens} fit: split the item"
            )
        if not example.answer:
            raise UnsupportedBaseModelError(f"item {example.id} has no token to score: it is too short")
        return example


def _whole_spans(spans: Sequence[tuple[int, int]], added: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return the span of text of each token but those that the tokenizer added, by place.

    Byte-level tokenizers with ``trim_offsets``, GPT-2's for one, cut leading spaces off a token's span, so that a token
    of spaces alone has an empty one; a token therefore begins where its predecessor stopped, if that is earlier.
    """
    whole = {}
    reached = 0
    for place, (begin, stop) in enumerate(spans):
        if not added[place]:
            whole[place] = (min(begin, reached), stop)
            reached = stop
    return whole


def _separator(item: PairItem | FactItem, separator: str) -> str:
    """Return what goes between prompt and completion: nothing when the client has put white space there already."""
    spaced = item.prompt[-1].isspace() or item.completion[0].isspace()
    return "" if spaced else separator
