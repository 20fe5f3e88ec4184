from collections.abc import Sequence

from api.errors import NotAcceptableError


def negotiate(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type that the client likes best; among equals, the one offered first.

    As in RFC 9110, 12.5.1: the most specific range that covers a type decides its quality, and 0 refuses it.

    Raises:
        NotAcceptableError: the client refuses all of them.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = _ranges(accept)
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) == 0:
        raise NotAcceptableError(f"this can be had as {' or '.join(offered)}")
    return best


def _ranges(accept: str) -> dict[str, float]:
    """Return the quality of each media range; one that cannot be read counts as refused."""
    ranges: dict[str, float] = {}
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        if media_range:
            ranges[media_range] = max(_q(parameters), ranges.get(media_range, 0.0))
    return ranges


def _q(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return _number(value.strip())
    return 1.0


def _number(value: str) -> float:
    # float() alone would also take "nan", "1e-2" and "inf".
    is_plain = value.replace(".", "", 1).isdecimal() and value.isascii()
    return min(float(value), 1.0) if is_plain else 0.0


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    kind = media_type.split("/", maxsplit=1)[0]
    for media_range in (media_type, f"{kind}/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0
