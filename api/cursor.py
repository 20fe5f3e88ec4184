from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import InvalidCursorError
from core.domain.errors import NotFoundError


@contextmanager
def known_cursor() -> Iterator[None]:
    """Turn the list's "no such row" into a refusal of the cursor: the list itself exists, so it is no 404."""
    try:
        yield
    except NotFoundError:
        raise InvalidCursorError("nothing in this list has this id", param="after") from None
