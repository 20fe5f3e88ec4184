import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from cli.composition import Backends, utc_now
from cli.errors import CommandError
from cli.items import AnyItem
from core.domain.base_model import ReferenceModel, RegisteredBaseModel
from core.domain.errors import AlreadyExistsError, NotFoundError
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet, dump_items
from core.domain.sizes import ModelSizes, SetSize
from core.ports import Clock

if TYPE_CHECKING:
    from core.modeling.inspect import Inspection

# The sets of a base model belong to no client. No tenant of a key is empty.
_NO_TENANT = ""


@dataclass(frozen=True)
class Registration:
    """What an operator says about a base model."""

    model_id: str
    source: str
    revision: str | None
    retain: Sequence[AnyItem]
    holdout: Sequence[AnyItem]
    general: Sequence[AnyItem] = ()
    reference: str | None = None  # a directory, or a hub id with its commit behind an @


def register(
    registration: Registration, backends: Backends, *, now: datetime, clock: Clock = utc_now
) -> RegisteredBaseModel:
    """Return the base model as registered, after loading it once as a job would.

    Args:
        registration: what is registered.
        backends: where.
        now: when it was asked for.
        clock: tells when the sets are stored, which is after a download that may take hours. A sweep destroys those
            that stay without an owner for long, counted from then.

    Raises:
        CommandError: the id is taken, a hub id comes without the revision that pins it, or the reference model does
            not read what the base model reads.
        UnsupportedBaseModelError: a job could not use this model, or an item does not fit it.
    """
    source, revision = _pinned(registration.source, registration.revision)
    _require_free_id(registration.model_id, backends)
    # Importing torch takes seconds, which no other command should wait for.
    from core.modeling.inspect import inspect_base_model  # noqa: PLC0415

    sets = (registration.retain, registration.holdout, registration.general)
    found = inspect_base_model(source, revision, [item for items in sets for item in items])
    reference = _reference(registration, found)
    tokenizer_key = f"tokenizers/{hashlib.sha256(found.tokenizer_json).hexdigest()}/tokenizer.json"
    backends.store.put(tokenizer_key, found.tokenizer_json)
    model = RegisteredBaseModel(
        id=registration.model_id,
        source=source,
        revision=revision,
        weights_sha256=found.weights_sha256,
        architecture=found.architecture,
        num_parameters=found.num_parameters,
        num_layers=found.num_layers,
        linear_names=found.linear_names,
        max_tokens=found.max_tokens,
        text_format=found.text_format,
        tokenizer_key=tokenizer_key,
        retain_set_id=_stored(registration.model_id, registration.retain, backends, clock),
        holdout_set_id=_stored(registration.model_id, registration.holdout, backends, clock),
        general_set_id=_stored(registration.model_id, registration.general, backends, clock),
        num_retain_items=len(registration.retain),
        num_holdout_items=len(registration.holdout),
        num_general_items=len(registration.general),
        reference=reference,
        sizes=_sizes(found, sets),
        created_at=now,
    )
    registered = (model.retain_set_id, model.holdout_set_id, model.general_set_id)
    set_ids = [set_id for set_id in registered if set_id is not None]
    try:
        backends.base_models.add(model)
    except AlreadyExistsError:
        for set_id in set_ids:
            backends.items.destroy(set_id)
        raise
    for set_id in set_ids:
        backends.items.keep(set_id)
    return model


def _sizes(found: "Inspection", sets: Sequence[Sequence[AnyItem]]) -> ModelSizes:
    """Return what was counted, the tokens of the items parted again into retain, holdout and general."""
    counts = iter(found.num_tokens)
    retain, holdout, general = (SetSize.of(list(islice(counts, len(items)))) if items else None for items in sets)
    return ModelSizes(
        vocab_size=found.vocab_size,
        hidden_size=found.hidden_size,
        linear_features=found.linear_features,
        retain=retain,
        holdout=holdout,
        general=general,
    )


def _reference(registration: Registration, base_model: "Inspection") -> ReferenceModel | None:
    """Return the reference model, after loading it once; it must read whatever the base model reads, as that does."""
    if registration.reference is None:
        return None
    from core.modeling.inspect import inspect_base_model  # noqa: PLC0415  # as in register

    hub_id, _, commit = registration.reference.partition("@")
    is_directory = Path(registration.reference).is_dir()
    source, revision = _pinned(*((registration.reference, None) if is_directory else (hub_id, commit or None)))
    found = inspect_base_model(source, revision, [])
    _refuse_unlike(found, base_model)
    return ReferenceModel(source=source, revision=revision, weights_sha256=found.weights_sha256)


def _refuse_unlike(reference: "Inspection", base_model: "Inspection") -> None:
    """Refuse a reference model that a job would find unable to read an item, after hours of training."""
    if reference.tokenizer_json != base_model.tokenizer_json:
        raise CommandError("the reference model has another tokenizer than the base model: token by token they differ")
    if reference.max_tokens < base_model.max_tokens:
        raise CommandError(
            f"the reference model reads {reference.max_tokens} tokens at most, fewer than the {base_model.max_tokens} "
            "of the base model: it could not read every item"
        )
    if reference.num_readable_tokens < base_model.num_readable_tokens:
        raise CommandError(
            f"the reference model embeds {reference.num_readable_tokens} tokens, fewer than the "
            f"{base_model.num_readable_tokens} of the base model: it could not read every item"
        )


def _pinned(given: str, revision: str | None) -> tuple[str, str | None]:
    """Return source and revision as every worker will understand them: an absolute path, or a pinned hub id."""
    directory = Path(given)
    if directory.is_dir():
        return str(directory.resolve()), None
    if revision is None:
        raise CommandError(f"{given} is no directory here; if it is a hub id, pin its commit with --revision")
    return given, revision


def _require_free_id(model_id: str, backends: Backends) -> None:
    try:
        backends.base_models.get(model_id)
    except NotFoundError:
        return
    raise CommandError(f"{model_id} is registered already: a base model is never changed, choose another id")


def _stored(model_id: str, items: Sequence[AnyItem], backends: Backends, clock: Clock) -> str | None:
    if not items:
        return None
    commitment = hmac.new(backends.secret_key, dump_items(items), hashlib.sha256).hexdigest()
    item_set = ItemSet(
        id=new_id("set"),
        tenant=_NO_TENANT,
        owner=model_id,
        items=tuple(items),
        commitment=commitment,
        created_at=clock(),
    )
    backends.items.put(item_set)
    return item_set.id
