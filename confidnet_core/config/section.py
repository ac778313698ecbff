"""Sections of params.yaml (mappings with known keys) as pydantic models, whose errors are one line each: key, value, and what was expected.

Sections are frozen and strict: no text for a number, no boolean for a whole number (a whole number may stand for a float), no unknown keys,
no NaN or infinity. Keys in messages are written with those above them, as "benchmarks.digits.baseline.epochs".
"""

import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from confidnet_core.config.registry import suggestion

TOP_LEVEL = "the top level"
OWN_ERROR_TYPE = "refused"  # type of errors whose message needs no rewording
UNKNOWN_KEY_ERROR_TYPES = ("extra_forbidden", "invalid_key")  # as pydantic names them
BOUND_MESSAGES = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
}
LENGTH_ERROR_TYPES = ("too_short", "too_long", "string_too_short")
MAX_VALUE_LENGTH = 300  # characters

Model = TypeVar("Model", bound=BaseModel)


def validation_error(key: str, problem: str) -> PydanticCustomError:
    """Return the error that a pydantic validator raises; its message is "KEY PROBLEM".

    key: relative to the validated value, "" for the value itself; problem: the rest of the sentence, after the key
    """
    return PydanticCustomError(OWN_ERROR_TYPE, "{subject} {problem}", {"subject": key or TOP_LEVEL, "key": key, "problem": problem})


def require(key: str, value: Any, is_valid: bool, expected: str) -> None:
    """Raise a `validation_error`, which names KEY, VALUE and what was EXPECTED, unless IS_VALID."""
    if not is_valid:
        raise validation_error(key, f"is {shortened_repr(value)}; expected {expected}")


class Section(BaseModel):
    """Base class of the typed sections of params.yaml: a mapping with known keys. None (an empty YAML value) counts as an empty mapping."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _raise_one_line_error(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler({} if raw is None else raw)
        except ValidationError as error:
            sorted_errors = sorted(error.errors(), key=_error_priority)
            raise _most_important_error(cls, raw or {}, sorted_errors) from None


def validate_section(model: type[Model], raw: Any, prefix: str = "", **context: Any) -> Model:
    """Return a mapping from params.yaml as an object of the pydantic class MODEL, after checking its keys and values.

    ValueError in one line, whose key begins with PREFIX. context: values that validators can read
    """
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        raise first_error(error, prefix) from None


def first_error(error: ValidationError, prefix: str = "") -> PydanticCustomError:
    """Return the first error in pydantic's ValidationError as a `validation_error`, with PREFIX before its key."""
    error_details = error.errors()[0]
    context = error_details.get("ctx", {})
    return validation_error(_join_key_parts(prefix, *error_details["loc"], context["key"]), context["problem"])


def require_mapping(key: str, value: Any) -> dict[str, Any]:
    """Return a value from params.yaml as a dictionary, empty for None (an empty YAML value). ValueError that names KEY otherwise."""
    require(key, value, value is None or isinstance(value, dict), "keys and values")
    return value or {}


def require_named_entries(key: str, value: Any) -> dict[str, Any]:
    """Return a value from params.yaml as a dictionary of name -> entry.

    ValueError if the dictionary is empty, or if a name has a character other than letters, digits, _ and -, some of which mean something to
    DVC and MLflow.
    """
    entries = require_mapping(key, value)
    if not entries:
        raise validation_error(key, "is empty; expected at least one entry")
    for name in entries:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # @ and . have a meaning for DVC and MLflow
            raise validation_error(key, f"has the name {name!r}; rename it: text of letters, digits, _ and - only")
    return entries


def shortened_repr(value: Any) -> str:
    """Return the repr of a value for an error message, cut to MAX_VALUE_LENGTH characters."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print integers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."


def _error_priority(error: ErrorDetails) -> int:
    """Return a pydantic error's sort key: unknown keys before missing ones, since a misspelt key often explains a missing one."""
    return 0 if error["type"] in UNKNOWN_KEY_ERROR_TYPES else 1 if error["type"] == "missing" else 2


def _most_important_error(model: type[BaseModel], raw: Any, errors: list[ErrorDetails]) -> PydanticCustomError:
    """Return the first of the sorted errors that pydantic reports for RAW, as a `validation_error` of one line."""
    error_type, location = errors[0]["type"], errors[0]["loc"]
    if error_type == OWN_ERROR_TYPE:
        context = errors[0].get("ctx", {})
        return validation_error(_join_key_parts(*location, context["key"]), context["problem"])
    if not location:
        return validation_error("", f"is {shortened_repr(raw)}; expected keys and values")
    key, fields = str(location[0]), model.model_fields
    if error_type in UNKNOWN_KEY_ERROR_TYPES:
        return validation_error("", f"has {key}, which nothing reads{suggestion(key, fields)}")
    if error_type == "missing":
        required_keys = ", ".join(name for name, field in fields.items() if field.is_required())
        return validation_error("", f"lacks {key}; it must hold {required_keys}")
    field, value = fields[key], raw[key]
    limit_texts = (_describe_limits(field, error) for error in errors if error["loc"][:1] == location[:1])
    expected = next(filter(None, limit_texts), None) or _describe_expected_types(key, field, value)
    return validation_error(key, f"is {shortened_repr(value)}; expected {expected}")


def _describe_limits(field: FieldInfo, error: ErrorDetails) -> str | None:
    """Return the allowed range of a field in words, from its type's description; None for an error that is not about limits."""
    if error["type"] in LENGTH_ERROR_TYPES:
        return field.description or "at least one entry"
    if error["type"] not in BOUND_MESSAGES:
        return None
    text = next(_type_descriptions(field.annotation), field.description) or BOUND_MESSAGES[error["type"]].format(**error.get("ctx", {}))
    return f"{text}, or null" if type(None) in typing.get_args(field.annotation) else text


def _type_descriptions(annotation: Any) -> Iterator[str]:
    """Yield the descriptions in a type annotation; those of a narrowed type come before those of the type that it narrows."""
    for part in reversed(typing.get_args(annotation)):
        if isinstance(part, FieldInfo):
            if part.description:
                yield part.description
        else:
            yield from _type_descriptions(part)


def _describe_expected_types(key: str, field: FieldInfo, value: Any) -> str:
    """Return in words which types a field accepts; for a single value in place of a list, also how to write the list."""
    text = _describe_type(field.annotation)
    list_types = [
        kind for kind in (field.annotation, *map(_strip_annotation, typing.get_args(field.annotation))) if typing.get_origin(kind) is tuple
    ]
    is_single_value = any(type(value) is _strip_annotation(typing.get_args(kind)[0]) for kind in list_types)
    return f"{text}; write {key}: [{value}]" if is_single_value else text


def _describe_type(annotation: Any) -> str:
    """Return a type annotation in words, such as "a finite number" for float."""
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _describe_type(options[0])
    if origin in (tuple, list, Sequence):
        return f"a list of {getattr(_strip_annotation(options[0]), '__name__', 'values')}"
    if origin is dict or annotation is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "keys and values"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(map(_describe_type, options)))
    if origin is Literal:
        return " or ".join(map(str, options))
    return {type(None): "null", float: "a finite number"}.get(annotation) or getattr(annotation, "__name__", str(annotation))


def _strip_annotation(annotation: Any) -> Any:
    """Return the type inside Annotated[type, ...]; any other type as it is."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _join_key_parts(*parts: str | int) -> str:
    """Return the parts of a key joined by dots, such as benchmarks.digits; empty parts are left out."""
    return ".".join(str(part) for part in parts if part != "")
