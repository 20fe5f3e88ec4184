import hashlib
from collections.abc import Sequence
from contextlib import suppress

import torch

from core.domain.errors import AlreadyExistsError, NotFoundError
from core.domain.item_set import ItemSet
from core.domain.items import TextItem
from core.modeling.base_model import BaseModel
from core.pipeline.sets import keeps_on_general_corpus
from core.pipeline.task import RunTask
from core.ports import Clock, TextCache

NUM_TEXTS = 512
MAX_TOKENS = 64
_BATCH = 64
_SEED = 0  # of the base model's texts, not of the request: they are written once and shared
# A text that has this many tokens in a row in common with a forget item would teach what is to be forgotten.
SHARED_TOKENS = 8


def self_generated(task: RunTask, base: BaseModel, items: TextCache, clock: Clock) -> list[TextItem]:
    """Return texts that the base model wrote, where the job needs texts to keep and nobody gave any; else none.

    What a model writes unprompted is a sample of what it knows, at hand without any data. It may recite what is to be
    forgotten, so texts that share ``SHARED_TOKENS`` tokens in a row with a forget item are left out. Before that choice
    they depend on the base model alone, and are written once. They are kept where texts are kept and nowhere else, for
    what a model recites may be personal.
    """
    lacks_general = keeps_on_general_corpus(task) and task.general is None
    if task.retain is not None and not lacks_general:
        return []
    return _without_forgotten(task, base, _written_once(task, base, items, clock))


def write_texts(base: BaseModel) -> list[str]:
    """Return different texts of at least three tokens, sampled at temperature 1 from a fixed seed."""
    start = base.tokenizer.bos_token_id
    first = base.tokenizer.eos_token_id if start is None else start
    length = min(MAX_TOKENS, base.max_tokens)
    texts: list[str] = []
    with torch.random.fork_rng(devices=[base.device] if base.device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(_SEED)
        for _ in range(NUM_TEXTS // _BATCH):
            rows = torch.full((_BATCH, 1), first, device=base.device)
            written = base.model.generate(
                input_ids=rows,
                attention_mask=torch.ones_like(rows),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=length - 1,
                pad_token_id=base.pad_id,
            )
            texts += base.tokenizer.batch_decode(written[:, 1:], skip_special_tokens=True)
    return [text for text in dict.fromkeys(texts) if text.strip() and len(base.tokenizer(text).input_ids) > 2]


def _written_once(task: RunTask, base: BaseModel, items: TextCache, clock: Clock) -> list[TextItem]:
    """Return the base model's texts: those in the store, or new ones that are there afterwards."""
    facts = f"{task.base_model.id}/{task.base_model.weights_sha256}/{base.device.type}/{_SEED}/{NUM_TEXTS}/{MAX_TOKENS}"
    set_id = f"set_{hashlib.sha256(facts.encode()).hexdigest()[:24]}"
    try:
        stored = items.get(set_id)
    except NotFoundError:
        written = [TextItem(id=f"generated-{place}", text=text) for place, text in enumerate(write_texts(base))]
        stored = ItemSet(
            id=set_id,
            tenant="",
            owner=task.base_model.id,
            items=tuple(written),
            commitment="",  # nobody has asked for these texts, so there is nothing to prove later
            created_at=clock(),
        )
        # Two jobs may write them at once: the same texts, from the same seed.
        with suppress(AlreadyExistsError):
            items.put(stored)
    return [item for item in stored.items if isinstance(item, TextItem)]


def _without_forgotten(task: RunTask, base: BaseModel, texts: Sequence[TextItem]) -> list[TextItem]:
    forgotten = {
        gram
        for item in task.forget.items
        for gram in _grams(base, item.text if isinstance(item, TextItem) else item.completion)
    }
    return [row for row in texts if forgotten.isdisjoint(_grams(base, row.text))]


def _grams(base: BaseModel, text: str) -> list[tuple[int, ...]]:
    tokens: list[int] = base.tokenizer(text, add_special_tokens=False).input_ids
    return list(zip(*(tokens[offset:] for offset in range(SHARED_TOKENS)), strict=False))
