"""A delivered adapter as an attacker finds it: read from its PEFT directory, with the base model under it."""

import json
from pathlib import Path

from safetensors.torch import load_file
from transformers import PreTrainedModel

from bench.job import Texts
from core.data.corpus import ItemEncoder
from core.domain.item_set import with_ids
from core.domain.items import TextItem
from core.evaluation.attack import AttackScene
from core.modeling.adapter import Adapter, LowRankPair, attach
from core.modeling.base_model import BaseModel

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def scene_of(
    base: BaseModel,
    encode: ItemEncoder,
    texts: Texts,
    *,
    adapter: Path | None = None,
    reference: PreTrainedModel | None = None,
) -> AttackScene:
    """Return a base model under attack, with an exported adapter on it where one is given.

    What the attacker has of the kind of the forget set are texts that the base model and its reference know and that no
    part of a job has read.
    """
    return AttackScene(
        base=base,
        adapter=attach(base.model, {}, scaling=1.0) if adapter is None else put_adapter(base.model, adapter),
        encode=encode,
        forget=with_ids(texts.forget),
        neighbours=with_ids(texts.unseen),
        benign=with_ids(texts.general),
        holdout=with_ids(texts.holdout),
        shots=[item for item in texts.unseen if not isinstance(item, TextItem)],
        reference=reference,
    )


def put_adapter(model: PreTrainedModel, directory: Path) -> Adapter:
    """Put an exported LoRA on its base model as anchored layers, whose anchors are of rank 0.

    PEFT's own layers would do for a user. An attack switches the adapter off and on and rounds it with its base.
    """
    config = json.loads((directory / "adapter_config.json").read_text())
    tensors = load_file(directory / "adapter_model.safetensors", device=str(model.device))
    pairs = {}
    for name in (key.removeprefix(_PREFIX).removesuffix(_A) for key in tensors if key.endswith(_A)):
        pair = LowRankPair(a=tensors[f"{_PREFIX}{name}{_A}"], b=tensors[f"{_PREFIX}{name}{_B}"])
        pairs[name] = (pair, LowRankPair(a=pair.a[:0], b=pair.b[:, :0]))
    return attach(model, pairs, scaling=config["lora_alpha"] / config["r"])
