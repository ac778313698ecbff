"""Sections of params.yaml as pydantic models, whose errors are one line each: key, value, and what was expected.

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
    """Return the error that a validator raises, with a complete message.

    key: below the validated value, "" for the value itself; problem: the rest of the sentence
    """
    return PydanticCustomError(OWN_ERROR_TYPE, "{subject} {problem}", {"subject": key or TOP_LEVEL, "key": key, "problem": problem})


def require(key: str, value: Any, is_valid: bool, expected: str) -> None:
    """Raise `validation_error` for KEY and its VALUE unless IS_VALID."""
    if not is_valid:
        raise validation_error(key, f"is {shortened_repr(value)}; expected {expected}")


class Section(BaseModel):
    """A mapping with known keys. None (an empty YAML value) counts as an empty mapping."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _raise_one_line_error(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler({} if raw is None else raw)
        except ValidationError as error:
            problems = sorted(error.errors(), key=_error_priority)
            raise _one_line_error(cls, raw or {}, problems) from None


def validate_section(model: type[Model], raw: Any, prefix: str = "", **context: Any) -> Model:
    """Validate a mapping as a section of this model. ValueError in one line, whose key begins with PREFIX. context: for validators."""
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        raise first_error(error, prefix) from None


def first_error(error: ValidationError, prefix: str = "") -> PydanticCustomError:
    """Return the first error of a section, with PREFIX before its key."""
    first = error.errors()[0]
    context = first.get("ctx", {})
    return validation_error(_dotted_key(prefix, *first["loc"], context["key"]), context["problem"])


def require_mapping(key: str, value: Any) -> dict[str, Any]:
    """Return the value of KEY as a mapping; None (an empty YAML value) counts as an empty one. ValueError for anything else."""
    require(key, value, value is None or isinstance(value, dict), "keys and values")
    return value or {}


def require_named_entries(key: str, value: Any) -> dict[str, Any]:
    """Return the value of KEY as a mapping of names to entries. ValueError if it is empty or a name has a meaning for DVC or MLflow."""
    entries = require_mapping(key, value)
    if not entries:
        raise validation_error(key, "is empty; expected at least one entry")
    for name in entries:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # @ and . have a meaning for DVC and MLflow
            raise validation_error(key, f"has the name {name!r}; rename it: text of letters, digits, _ and - only")
    return entries


def shortened_repr(value: Any) -> str:
    """Return the repr of a value for a message, shortened to MAX_VALUE_LENGTH."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print integers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."


def _error_priority(error: ErrorDetails) -> int:
    """Rank unknown keys before missing ones, since a misspelt key often explains a missing one."""
    return 0 if error["type"] in UNKNOWN_KEY_ERROR_TYPES else 1 if error["type"] == "missing" else 2


def _one_line_error(model: type[BaseModel], raw: Any, errors: list[ErrorDetails]) -> PydanticCustomError:
    """Return the most important of the errors that pydantic reports for RAW, as one line."""
    error_type, location = errors[0]["type"], errors[0]["loc"]
    if error_type == OWN_ERROR_TYPE:
        context = errors[0].get("ctx", {})
        return validation_error(_dotted_key(*location, context["key"]), context["problem"])
    if not location:
        return validation_error("", f"is {shortened_repr(raw)}; expected keys and values")
    key, fields = str(location[0]), model.model_fields
    if error_type in UNKNOWN_KEY_ERROR_TYPES:
        return validation_error("", f"has {key}, which nothing reads{suggestion(key, fields)}")
    if error_type == "missing":
        needed = ", ".join(name for name, field in fields.items() if field.is_required())
        return validation_error("", f"lacks {key}; it must hold {needed}")
    field, value = fields[key], raw[key]
    limits = (_limits_in_words(field, error) for error in errors if error["loc"][:1] == location[:1])
    expected = next(filter(None, limits), None) or _expected_types(key, field, value)
    return validation_error(key, f"is {shortened_repr(value)}; expected {expected}")


def _limits_in_words(field: FieldInfo, error: ErrorDetails) -> str | None:
    """Describe the allowed range of a field, from its type's description; None for an error that is not about limits."""
    if error["type"] in LENGTH_ERROR_TYPES:
        return field.description or "at least one entry"
    if error["type"] not in BOUND_MESSAGES:
        return None
    text = next(_type_descriptions(field.annotation), field.description) or BOUND_MESSAGES[error["type"]].format(**error.get("ctx", {}))
    return f"{text}, or null" if type(None) in typing.get_args(field.annotation) else text


def _type_descriptions(annotation: Any) -> Iterator[str]:
    """Yield the descriptions in an annotation; those of a narrowed type come before those of the type it narrows."""
    for part in reversed(typing.get_args(annotation)):
        if isinstance(part, FieldInfo):
            if part.description:
                yield part.description
        else:
            yield from _type_descriptions(part)


def _expected_types(key: str, field: FieldInfo, value: Any) -> str:
    """Describe the types that a field accepts; for a single value in place of a list, also how to write the list."""
    text = _type_in_words(field.annotation)
    list_types = [
        kind
        for kind in (field.annotation, *map(_without_annotation, typing.get_args(field.annotation)))
        if typing.get_origin(kind) is tuple
    ]
    is_single_value = any(type(value) is _without_annotation(typing.get_args(kind)[0]) for kind in list_types)
    return f"{text}; write {key}: [{value}]" if is_single_value else text


def _type_in_words(annotation: Any) -> str:
    """Describe an annotation in words."""
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type_in_words(options[0])
    if origin in (tuple, list, Sequence):
        return f"a list of {getattr(_without_annotation(options[0]), '__name__', 'values')}"
    if origin is dict or annotation is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "keys and values"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(map(_type_in_words, options)))
    if origin is Literal:
        return " or ".join(map(str, options))
    return {type(None): "null", float: "a finite number"}.get(annotation) or getattr(annotation, "__name__", str(annotation))


def _without_annotation(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _dotted_key(*parts: str | int) -> str:
    return ".".join(str(part) for part in parts if part != "")
