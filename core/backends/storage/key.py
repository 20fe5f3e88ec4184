import re

_NAME = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_KEY = re.compile(rf"{_NAME}(?:/{_NAME})*")


def require_key(key: str) -> str:
    """Return the key if it is one: names of letters, digits, ``.``, ``_`` and ``-`` with single slashes between.

    The same keys work on every store, and none of them (``..``, a leading slash) can leave a directory.

    Raises:
        ValueError: the key is outside this alphabet.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no artifact key: use names of letters, digits, '.', '_' and '-' joined by '/'")
    return key
