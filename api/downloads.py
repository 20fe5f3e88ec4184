import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.errors import RangeNotSatisfiableError
from core.domain.job import StoredFile
from core.ports import ArtifactStore

_ONE_RANGE = re.compile(r"(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_MAX_DIGITS = 18  # more bytes than any store holds


@dataclass(frozen=True)
class ByteRange:
    """The bytes from ``start`` up to but excluding ``end``."""

    start: int
    end: int


def deliver(
    request: Request, store: ArtifactStore, file: StoredFile, *, media_type: str, filename: str | None = None
) -> Response:
    """Return the file as the request's conditions ask for it: whole, in part, or only its headers.

    The entity tag is the digest of the bytes, so a client that resumes or checks needs no other header.

    Raises:
        RangeNotSatisfiableError: the one range asked for is malformed or outside the file.
        ArtifactMissingError: the store has lost the file.
    """
    etag = f'"{file.sha256}"'
    # no-cache means: keep it, and ask before each use. Private, because the next one may be another tenant.
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes"}
    if _is_known(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if filename is not None:
        headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(file.size)}, media_type=media_type)
    part = _asked_part(request, etag, file.size)
    start, end = (part.start, part.end) if part else (0, file.size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    pieces = _begun(store.stream(file.key, start=start, end=end))
    return StreamingResponse(pieces, status_code=206 if part else 200, headers=headers, media_type=media_type)


def parse_range(header: str, size: int) -> ByteRange | None:
    """Return the range, or None where the whole file is the right answer: another unit, or several ranges at once.

    Raises:
        RangeNotSatisfiableError: malformed, or nothing of it lies within ``size`` bytes.
    """
    unit, _, ranges = header.partition("=")
    if unit.strip().lower() != "bytes" or "," in ranges:
        return None
    found = _ONE_RANGE.fullmatch(ranges.strip())
    if found is None or not (found["first"] or found["last"]):
        raise _unsatisfiable(size)
    if found["first"]:
        start = _number(found["first"])
        end = min(_number(found["last"]) + 1, size) if found["last"] else size
    else:
        start, end = max(size - _number(found["last"]), 0), size
    if start >= end:
        raise _unsatisfiable(size)
    return ByteRange(start, end)


def _number(digits: str) -> int:
    """Return the number, or one beyond every file: Python refuses to read thousands of digits, RFC 9110 does not."""
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _asked_part(request: Request, etag: str, size: int) -> ByteRange | None:
    header = request.headers.get("range")
    condition = request.headers.get("if-range")
    if header is None or (condition is not None and condition.strip() != etag):
        return None
    return parse_range(header, size)


def _is_known(if_none_match: str | None, etag: str) -> bool:
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Fetch the first piece now, while a missing file can still become an error and not a broken download."""
    return itertools.chain([next(pieces, b"")], pieces)


def _unsatisfiable(size: int) -> RangeNotSatisfiableError:
    return RangeNotSatisfiableError(f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
