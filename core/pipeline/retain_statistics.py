import hashlib
import json
import random
from collections.abc import Callable

import structlog
import torch
from safetensors.torch import load, save
from torch import Tensor

from core.data.corpus import Example
from core.domain.errors import ArtifactMissingError
from core.domain.options import TrainedOptions
from core.modeling.adapter import Linear
from core.modeling.base_model import BaseModel
from core.pipeline.sets import EncodedSets, keeps_on_general_corpus
from core.pipeline.task import RunTask
from core.ports import Cache
from core.unlearning.features import output_features
from core.unlearning.initialize import RetainFisher, RetainStatistics, measure_retain_fisher, parse_fisher
from core.unlearning.moments import Moments, measure_moments

log = structlog.get_logger(__name__)

_WITH_FISHER = ("fila", "kronecker_fila")


def retain_statistics(
    task: RunTask,
    base: BaseModel,
    layers: dict[str, Linear],
    sets: EncodedSets,
    options: TrainedOptions,
    cache: Cache,
    *,
    initializing: bool,
) -> RetainStatistics:
    """Return what initializer and regulariser need of the retain set: computed by the first job, read by later ones.

    Args:
        task: names the base model.
        base: without an adapter.
        layers: those that get an adapter.
        sets: the retain rows that training may see.
        options: what is asked for.
        cache: holds what belongs to a base model and its registered retain set.
        initializing: False when the pairs come from a checkpoint, which needs no initializer.
    """
    store = _Cache(task, base, layers, sets, cache)
    fisher = _fisher(store, base, options) if initializing and options.initializer in _WITH_FISHER else None
    wants_features = options.rol_weight > 0 or (initializing and options.initializer == "rila")
    return RetainStatistics(fisher=fisher, features=_features(store, base, options) if wants_features else None)


def retain_moments(
    task: RunTask, base: BaseModel, layers: dict[str, Linear], sets: EncodedSets, cache: Cache, *, at_most: int
) -> tuple[Moments, bool]:
    """Return the second moments of what these layers read on retain rows, and whether they were there already.

    Args:
        task: names the base model.
        base: without an adapter.
        layers: those that will be edited.
        sets: the retain rows that methods may see.
        cache: as for the Fisher information.
        at_most: how many rows are read.
    """
    store = _Cache(task, base, layers, sets, cache)
    rows = _sample(store.retain, at_most)
    payload, was_there = store.payload("moments", rows, lambda: measure_moments(base, layers, rows).dump())
    return Moments.parse(payload), was_there


def cache_key(
    kind: str, weights_sha256: str, layers: dict[str, Linear], rows: list[Example], *, mode: str, device: str
) -> str:
    """Return a key over everything that a statistic depends on, and nothing of the request.

    The rows enter as token ids under the digest of the weights; the key does not reveal them, but it is a plain hash,
    so it stays inside the store and is never shown.
    """
    facts = {
        "weights": weights_sha256,
        "layers": sorted(layers),
        "rows": [[row.tokens, row.first_label] for row in rows],
        "mode": mode,
        "device": device,
        "revision": 1,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{kind}/{digest}.safetensors"


class _Cache:
    """Keeps a statistic only if it belongs to the base model.

    A retain set that came with the request, or one that the request took rows out of, is the client's, and nothing made
    from it outlives the job. Texts that the model wrote are what the request left of them.
    """

    def __init__(
        self, task: RunTask, base: BaseModel, layers: dict[str, Linear], sets: EncodedSets, store: Cache
    ) -> None:
        self.layers = layers
        self.retain = sets.retain_trained
        self._task = task
        self._device = base.device
        self._store = store
        given = task.general if keeps_on_general_corpus(task) else task.retain
        self._keeps = task.spec.retain_set_id is None and given is not None and not sets.excluded_retain

    def payload(
        self, kind: str, rows: list[Example], measure: Callable[[], bytes], *, mode: str = ""
    ) -> tuple[bytes, bool]:
        """Return the statistic as bytes, and whether it was there already.

        A store that is away costs the saving and not the run: its client gives up in time, and measuring needs none.
        """
        if not self._keeps:
            return measure(), False
        weights = self._task.base_model.weights_sha256
        key = cache_key(kind, weights, self.layers, rows, mode=mode, device=self._device.type)
        try:
            return self._store.get(key), True
        except ArtifactMissingError:
            is_away = False
        except Exception as outage:  # noqa: BLE001  # which exceptions an outage throws is no complete list
            is_away = True
            log.warning("a shared statistic could not be read", kind=kind, error=type(outage).__qualname__)
        payload = measure()
        if not is_away:
            self._keep(kind, key, payload)
        return payload, False

    def _keep(self, kind: str, key: str, payload: bytes) -> None:
        try:
            self._store.put(key, payload)
        except Exception as outage:  # noqa: BLE001  # as above
            log.warning("a shared statistic could not be stored", kind=kind, error=type(outage).__qualname__)


def _fisher(store: _Cache, base: BaseModel, options: TrainedOptions) -> RetainFisher:
    rows = _sample(store.retain, options.fisher_retain_items)
    payload, was_there = store.payload(
        "fisher", rows, lambda: measure_retain_fisher(base, store.layers, rows, options).dump(), mode=_mode(options)
    )
    # Input factors together may be larger than the base model, and are needed one at a time.
    device = torch.device("cpu") if options.initializer == "kronecker_fila" else base.device
    return parse_fisher(payload, items=len(rows), device=device, from_cache=was_there)


def _mode(options: TrainedOptions) -> str:
    """Return what tells one estimate from another in the cache."""
    return options.fisher if options.initializer == "fila" else options.initializer


def _features(store: _Cache, base: BaseModel, options: TrainedOptions) -> dict[str, Tensor]:
    rows = _sample(store.retain, options.rila_items)
    payload, _ = store.payload("features", rows, lambda: save(_on_cpu(output_features(base, store.layers, rows))))
    return {name: value.to(base.device) for name, value in load(payload).items()}


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.cpu().contiguous() for name, value in tensors.items()}


def _sample(retain: list[Example], at_most: int) -> list[Example]:
    """Return the rows behind an estimate: the same for every job, so no request's seed is in it."""
    if len(retain) <= at_most:
        return retain
    return random.Random(0).sample(retain, at_most)  # noqa: S311  # a sample, not a secret
