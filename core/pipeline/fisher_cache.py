import hashlib
import json
import random

from core.data.corpus import Example
from core.domain.catalog import LokuOptions
from core.modeling.adapter import Linear
from core.modeling.base_model import BaseModel
from core.pipeline.sets import EncodedSets
from core.pipeline.task import RunTask
from core.ports import ArtifactStore
from core.unlearning.initialize import RetainFisher, measure_retain_fisher, parse_fisher


def cached_retain_fisher(
    task: RunTask, base: BaseModel, layers: dict[str, Linear], sets: EncodedSets, cache: ArtifactStore
) -> RetainFisher:
    """Return the retain Fisher: computed by the first job of a base model and retain set, read by every later one.

    Only what belongs to the base model is kept: a retain set that came with the request, or one that the request took
    rows out of, is the client's, and nothing made from it outlives the job.
    """
    options = task.spec.method
    rows = _sample(sets.retain_trained, options)
    if task.spec.retain_set_id is not None or sets.excluded_retain:
        return measure_retain_fisher(base, layers, rows, options)
    key = cache_key(task.base_model.weights_sha256, layers, rows, options, device=base.device.type)
    if cache.exists(key):
        return parse_fisher(cache.get(key), items=len(rows), device=base.device)
    measured = measure_retain_fisher(base, layers, rows, options)
    cache.put(key, measured.dump())
    return measured


def cache_key(
    weights_sha256: str, layers: dict[str, Linear], rows: list[Example], options: LokuOptions, *, device: str
) -> str:
    """Return a key over everything that the estimate depends on, and nothing of the request.

    The rows enter as token ids under the digest of the weights; the key does not reveal them, but it is a plain hash,
    so it stays inside the store and is never shown.
    """
    facts = {
        "weights": weights_sha256,
        "layers": sorted(layers),
        "rows": [[row.tokens, row.first_label] for row in rows],
        "mode": options.fisher,
        "device": device,
        "revision": 1,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"fisher/{digest}.safetensors"


def _sample(retain: list[Example], options: LokuOptions) -> list[Example]:
    """Return the rows behind the estimate: the same for every job, so no request's seed is in it."""
    if len(retain) <= options.fisher_retain_items:
        return retain
    return random.Random(0).sample(retain, options.fisher_retain_items)  # noqa: S311  # a sample, not a secret
