import json
from email.message import Message
from typing import NoReturn

from starlette.requests import Request

from api.errors import BodyTooLargeError, InvalidJsonError, InvalidTextError, UnsupportedMediaTypeError
from api.item_fields import TEXT_FIELDS

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


async def read_json_bytes(request: Request, *, max_bytes: int) -> bytes:
    """Return the body of a JSON request, refused before it is read where its headers allow that.

    The size is counted while the pieces arrive, because a chunked body announces none.

    Raises:
        UnsupportedMediaTypeError: it is not announced as JSON in UTF-8, or is announced as compressed.
        BodyTooLargeError: it has more than ``max_bytes``.
    """
    _require_json(request.headers.get("content-type", ""))
    _require_plain(request.headers.get("content-encoding", ""))
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        _refuse_size(max_bytes)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            _refuse_size(max_bytes)
    return bytes(body)


def parse_json_object(body: bytes) -> dict[str, JsonValue]:
    """Return the object that the bytes spell, stricter than ``json``: no repeated key, no NaN, no unstorable text.

    Raises:
        InvalidJsonError: not one JSON object in UTF-8, or nested too deeply. The message holds nothing of the body.
        InvalidTextError: a string holds a NUL character or an unpaired surrogate.
    """
    try:
        value: JsonValue = json.loads(
            body.decode("utf-8"), object_pairs_hook=_without_repetition, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as wrong:
        raise InvalidJsonError(f"not JSON, from line {wrong.lineno} column {wrong.colno} on") from None
    except UnicodeDecodeError:
        raise InvalidJsonError("the body is not UTF-8") from None
    except RecursionError:
        raise InvalidJsonError("the body is nested too deeply") from None
    except ValueError:
        raise InvalidJsonError("a number in the body is too long") from None
    if not isinstance(value, dict):
        raise InvalidJsonError("the body must be a JSON object")
    _refuse_unstorable(value)
    return value


def _require_json(content_type: str) -> None:
    header = Message()
    header["content-type"] = content_type
    charset = header.get_param("charset", "utf-8")
    is_utf8 = isinstance(charset, str) and charset.lower() in {"utf-8", "utf8"}
    if not content_type or header.get_content_type() != "application/json" or not is_utf8:
        raise UnsupportedMediaTypeError


def _require_plain(content_encoding: str) -> None:
    # Nothing is unpacked: a small body that unfolds into a large one would pass every limit.
    if content_encoding.strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaTypeError("send the body without compression", headers={"Accept-Encoding": "identity"})


def _refuse_size(max_bytes: int) -> NoReturn:
    raise BodyTooLargeError(f"at most {max_bytes} bytes are read: split the request")


def _without_repetition(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise InvalidJsonError("an object of the body names a key twice")
    return named


def _refuse_constant(_name: str) -> NoReturn:
    raise InvalidJsonError("NaN and Infinity are not JSON")


def _refuse_unstorable(body: dict[str, JsonValue]) -> None:
    """Walk the body with a list instead of recursion: its depth is the client's choice."""
    waiting: list[tuple[str, JsonValue]] = [("", body)]
    while waiting:
        pointer, value = waiting.pop()
        if isinstance(value, str):
            _require_storable(value, pointer)
        elif isinstance(value, list):
            waiting.extend((f"{pointer}/{place}", member) for place, member in enumerate(value))
        elif isinstance(value, dict):
            for name, member in value.items():
                _require_storable(name, pointer)
                # Below the items the pointer names contract words only; a key of metadata is the client's text.
                waiting.append((f"{pointer}/{name}" if name in _POINTED else pointer, member))


# The fields that hold free text. Any other name in a body may itself be a client's text, so no pointer repeats it.
_POINTED = TEXT_FIELDS | {
    *("base_model", "forget", "retain", "items", "method", "policy", "job_id", "external_id", "metadata")
}


def _require_storable(text: str, pointer: str) -> None:
    # PostgreSQL stores no NUL, and no encoding has bytes for half of a surrogate pair.
    if "\0" in text or not _is_encodable(text):
        raise InvalidTextError("the text holds a NUL character or an unpaired surrogate", param=pointer)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
