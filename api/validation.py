import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

from api.errors import (
    EmptyTextError,
    InvalidFieldError,
    MissingFieldError,
    UnknownFieldError,
    UnknownMethodError,
    UnknownOptionError,
)
from api.item_fields import ITEM_FIELDS, TEXT_FIELDS
from api.json_body import JsonValue
from api.schemas.deletion_request import NewDeletionRequest
from api.schemas.probe import NewProbe
from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS, MethodOptions
from core.domain.errors import InvalidRequestError

Location = tuple[int | str, ...]

_OPTION_NAME = re.compile(r"[a-z][a-z_0-9]{0,40}")
_ITEM_LISTS = {"forget", "retain", "items"}

# What pydantic says of these speaks of the constraint alone. Any other message could quote the value.
_PLAIN_MESSAGES = {
    "bool_parsing",
    "bool_type",
    "dict_type",
    "enum",
    "finite_number",
    "float_parsing",
    "float_type",
    "greater_than",
    "greater_than_equal",
    "int_from_float",
    "int_parsing",
    "int_type",
    "less_than",
    "less_than_equal",
    "list_type",
    "literal_error",
    "model_type",
    "string_pattern_mismatch",
    "string_too_long",
    "string_too_short",
    "string_type",
    "too_long",
    "too_short",
    "unbounded_loss",
}


def validate_deletion_request(body: Mapping[str, JsonValue]) -> NewDeletionRequest:
    """Return the body as the contract's deletion request, or refuse it by its first wrong field.

    The method is validated apart and first, by the options of the method that it names: an error then speaks of that
    method alone, however many there are.

    Raises:
        InvalidRequestError: a subclass with the pointer of the field, and never its value.
    """
    method = _method(body["method"]) if "method" in body else METHOD_OPTIONS[DEFAULT_METHOD]()
    try:
        return NewDeletionRequest.model_validate({**body, "method": method}, strict=True)
    except ValidationError as invalid:
        raise _first_refusal(invalid, NewDeletionRequest) from None


def validate_probe(body: Mapping[str, JsonValue]) -> NewProbe:
    """Return the body as the contract's probe, or refuse it as :func:`validate_deletion_request` does."""
    try:
        return NewProbe.model_validate(body, strict=True)
    except ValidationError as invalid:
        raise _first_refusal(invalid, NewProbe) from None


def plain_message(kind: str, message: str) -> str:
    """Return pydantic's sentence if it cannot hold the value, else one that surely does not."""
    if kind not in _PLAIN_MESSAGES:
        return "the value is not valid here"
    return message[0].lower() + message[1:]


def _method(given: JsonValue) -> MethodOptions:
    if not isinstance(given, dict):
        raise InvalidFieldError("a method is an object with a name and its options", param="/method")
    name = given.get("name")
    if name is None:
        raise MissingFieldError("a method needs a name", param="/method/name")
    if not isinstance(name, str) or name not in METHOD_OPTIONS:
        raise UnknownMethodError(f"no such method; known: {', '.join(METHOD_OPTIONS)}", param="/method/name")
    try:
        return METHOD_OPTIONS[name].model_validate(given, strict=True)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "extra_forbidden":
            raise _unknown_option(name, str(first["loc"][-1])) from None
        raise _refusal(first["type"], first["msg"], ("method", *first["loc"])) from None


def _unknown_option(method: str, option: str) -> UnknownOptionError:
    """Name the option, as the contract says, unless it may be some text that slipped in."""
    if not _OPTION_NAME.fullmatch(option):
        known = ", ".join(name for name in METHOD_OPTIONS[method].model_fields if name != "name")
        return UnknownOptionError(f"method {method} has no such option; known: {known}", param="/method")
    return UnknownOptionError(f"method {method} has no option {option}", param=f"/method/{option}")


def _first_refusal(invalid: ValidationError, body: type[BaseModel]) -> InvalidRequestError:
    first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
    return _refusal(first["type"], first["msg"], _without_tag(first["loc"]), body)


def _refusal(
    kind: str, message: str, location: Location, body: type[BaseModel] = NewDeletionRequest
) -> InvalidRequestError:
    param = _pointer(location)
    if kind == "missing":
        return MissingFieldError("this field is required", param=param)
    if kind == "extra_forbidden":
        # The name is not repeated: outside the options it may be a text in the wrong place.
        return UnknownFieldError(f"an unknown field; known: {', '.join(_known_fields(location, body))}", param=param)
    if _is_text(location) and kind in {"string_pattern_mismatch", "string_too_short", "empty_text"}:
        return EmptyTextError("the text holds no visible character", param=param)
    return InvalidFieldError(plain_message(kind, message), param=param)


def _is_text(location: Location) -> bool:
    """Whether it is the place of an item's text, which may be one of a list: /forget/0/perturbed_completions/2."""
    return len(location) > 2 and location[0] in _ITEM_LISTS and location[2] in TEXT_FIELDS


def _without_tag(location: Location) -> Location:
    """Return the place in the body. Within an item, pydantic's has the name of the item's kind in third place."""
    if len(location) > 2 and location[0] in _ITEM_LISTS:
        return (*location[:2], *location[3:])
    return location


def _pointer(location: Location) -> str:
    """Return the JSON pointer, without parts that the contract does not know: keys of the client, names of types."""
    return "".join(f"/{part}" for part in location if isinstance(part, int) or part in _CONTRACT_NAMES)


def _known_fields(location: Location, body: type[BaseModel]) -> Sequence[str]:
    if len(location) > 1 and location[0] in _ITEM_LISTS:
        return sorted(ITEM_FIELDS)
    return list(body.model_fields)


_CONTRACT_NAMES = (
    set(NewDeletionRequest.model_fields)
    | set(NewProbe.model_fields)
    | ITEM_FIELDS
    | {name for options in METHOD_OPTIONS.values() for name in options.model_fields}
)
