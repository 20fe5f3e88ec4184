from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row

from core.domain.request import DeletionRequest, Disposition, ItemDisposition, RequestSummary


def request_row(request: DeletionRequest) -> dict[str, Any]:
    """Return the request as columns of ``tables.deletion_requests``."""
    return request.model_dump(exclude={"items"})


def item_rows(request: DeletionRequest) -> list[dict[str, Any]]:
    """Return its items as rows of ``tables.deletion_request_items``, their places kept."""
    return [
        {"request_id": request.id, "position": position, **item.model_dump(mode="json")}
        for position, item in enumerate(request.items)
    ]


def request_of(row: Row[Any], items: Iterable[Row[Any]]) -> DeletionRequest:
    """Return the request that the row and its items' rows hold."""
    dispositions = tuple(ItemDisposition(item_id=item.item_id, disposition=item.disposition) for item in items)
    fields = {name: getattr(row, name) for name in DeletionRequest.model_fields if name != "items"}
    return DeletionRequest(**fields, items=dispositions)


def summary_of(row: Row[Any], counts: Mapping[str, int]) -> RequestSummary:
    """Return the summary of the request that the row holds; ``counts`` may lack dispositions that no item has."""
    fields = {name: getattr(row, name) for name in RequestSummary.model_fields if name != "dispositions"}
    return RequestSummary(**fields, dispositions={known: counts.get(known, 0) for known in Disposition})
