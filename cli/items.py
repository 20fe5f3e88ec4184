from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cli.errors import CommandError
from core.domain.item_set import with_ids
from core.domain.items import FactItem, Item, PairItem, TextItem

AnyItem = TextItem | PairItem | FactItem

_ITEM: TypeAdapter[AnyItem] = TypeAdapter(Item)


def read_items(path: Path) -> tuple[AnyItem, ...]:
    """Return the items of a JSON lines file, one object a line, as in the HTTP contract; blank lines are skipped.

    Raises:
        CommandError: the file cannot be read, is empty, or a line is no item; names the line, never quotes it.
    """
    try:
        # Not splitlines(), which also breaks at U+2028, and JSON strings may hold that. Every CRLF is read as "\n".
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise CommandError(f"{path} cannot be read as UTF-8 text") from unreadable
    items = [_item(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not items:
        raise CommandError(f"{path} holds no items: one JSON object a line is expected")
    return with_ids(items)


def without_absent(items: Sequence[AnyItem]) -> list[dict[str, str | list[str]]]:
    """Return the items as JSON objects of the HTTP contract."""
    return [item.model_dump(mode="json", exclude_none=True) for item in items]


def _item(path: Path, number: int, line: str) -> AnyItem:
    try:
        return _ITEM.validate_json(line)
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CommandError(f"{path}, line {number}: {field or 'item'}: {first['msg']}") from None
