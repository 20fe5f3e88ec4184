from threading import Lock

from tokenizers import Tokenizer

from core.domain.base_model import RegisteredBaseModel
from core.domain.items import FactItem, PairItem, TextItem
from core.ports import ArtifactStore


class TokenCounter:
    """Counts an item's tokens as its base model will read them, without torch.

    Tokenizers are read once: they are stored under the digest of their model and never change.
    """

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._tokenizers: dict[str, Tokenizer] = {}
        self._lock = Lock()

    def __call__(self, base_model: RegisteredBaseModel, item: TextItem | PairItem | FactItem) -> int:
        """Return the number of tokens, with those that the format adds to a prompt and its completion.

        A chat template is not rendered here; what it adds was counted when the base model was registered.
        """
        num_tokens = len(self._tokenizer(base_model.tokenizer_key).encode(_joined(base_model, item)).ids)
        if isinstance(item, TextItem):
            return num_tokens
        text_format = base_model.text_format
        ends = text_format.join == "separator" and text_format.ends_with_eos
        return num_tokens + ends + text_format.template_tokens

    def _tokenizer(self, key: str) -> Tokenizer:
        with self._lock:
            if key not in self._tokenizers:
                self._tokenizers[key] = _read(self._artifacts.get(key))
            return self._tokenizers[key]


def _joined(base_model: RegisteredBaseModel, item: TextItem | PairItem | FactItem) -> str:
    if isinstance(item, TextItem):
        return item.text
    return f"{item.prompt}{base_model.text_format.separator}{item.completion}"


def _read(payload: bytes) -> Tokenizer:
    tokenizer: Tokenizer = Tokenizer.from_str(payload.decode())
    # A tokenizer.json may carry the settings it was trained with; truncated, no item would ever be too long.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
