"""Sections of params.yaml as pydantic models, whose errors are one line each: key, value, and what was expected.

Frozen, strict (no text for a number, no boolean for a whole number; a whole number will do for a float), without unknown keys, NaN or
infinity. A key is written with those above it: "benchmarks.digits.baseline.epochs".
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

TOP = "the top level"
REFUSED = "refused"  # type of the errors whose message is complete
UNKNOWN_KEY = ("extra_forbidden", "invalid_key")  # pydantic's types of errors
BOUNDS = {"greater_than_equal": "at least {ge}", "greater_than": "above {gt}", "less_than_equal": "at most {le}", "less_than": "below {lt}"}
LENGTHS = ("too_short", "too_long", "string_too_short")
MAX_LENGTH = 300  # characters of a value in a message

Model = TypeVar("Model", bound=BaseModel)


def refused(key: str, problem: str) -> PydanticCustomError:
    """The error that a validator raises. key: below the validated value, "" for the value itself; problem: the rest of the sentence."""
    return PydanticCustomError(REFUSED, "{subject} {problem}", {"subject": key or TOP, "key": key, "problem": problem})


def require(key: str, value: Any, holds: bool, expected: str) -> None:
    """Raise `refused` for KEY and its VALUE unless the rule holds."""
    if not holds:
        raise refused(key, f"is {format_value(value)}; expected {expected}")


class Section(BaseModel):
    """A mapping with known keys. None (an empty YAML value) counts as an empty one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _in_words(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler({} if raw is None else raw)
        except ValidationError as error:
            problems = sorted(error.errors(), key=_rank)
            raise _refusal(cls, raw or {}, problems) from None


def checked(kind: type[Model], raw: Any, prefix: str = "") -> Model:
    """The model from a mapping. ValueError in one line, whose key begins with PREFIX."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise first_refusal(error, prefix) from None


def first_refusal(error: ValidationError, prefix: str = "") -> PydanticCustomError:
    """The first error of a section, with PREFIX before its key."""
    first = error.errors()[0]
    context = first.get("ctx", {})
    return refused(_joined(prefix, *first["loc"], context["key"]), context["problem"])


def mapping(key: str, value: Any) -> dict[str, Any]:
    """The value of KEY as a mapping; None (an empty YAML value) counts as an empty one. ValueError for anything else."""
    require(key, value, value is None or isinstance(value, dict), "keys and values")
    return value or {}


def named(key: str, value: Any) -> dict[str, Any]:
    """The value of KEY as a mapping of names to entries. ValueError where it is empty or a name means something to DVC or MLflow."""
    entries = mapping(key, value)
    if not entries:
        raise refused(key, "is empty; expected at least one entry")
    for name in entries:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # DVC and MLflow read @ and . as their own
            raise refused(key, f"has the name {name!r}; rename it: text of letters, digits, _ and - only")
    return entries


def format_value(value: Any) -> str:
    """A value as a message shows it, shortened to MAX_LENGTH."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}..."


def _rank(error: ErrorDetails) -> int:
    """An unknown key first: it is often what a missing one was called."""
    return 0 if error["type"] in UNKNOWN_KEY else 1 if error["type"] == "missing" else 2


def _refusal(model: type[BaseModel], raw: Any, errors: list[ErrorDetails]) -> PydanticCustomError:
    """The first of the errors that pydantic reports for RAW, in one line."""
    kind, location = errors[0]["type"], errors[0]["loc"]
    if kind == REFUSED:
        context = errors[0].get("ctx", {})
        return refused(_joined(*location, context["key"]), context["problem"])
    if not location:
        return refused("", f"is {format_value(raw)}; expected keys and values")
    key, fields = str(location[0]), model.model_fields
    if kind in UNKNOWN_KEY:
        return refused("", f"has {key}, which nothing reads{suggestion(key, fields)}")
    if kind == "missing":
        needed = ", ".join(name for name, field in fields.items() if field.is_required())
        return refused("", f"lacks {key}; it must hold {needed}")
    field, value = fields[key], raw[key]
    limits = (_limit(field, error) for error in errors if error["loc"][:1] == location[:1])
    expected = next(filter(None, limits), None) or _types(key, field, value)
    return refused(key, f"is {format_value(value)}; expected {expected}")


def _limit(field: FieldInfo, error: ErrorDetails) -> str | None:
    """The limits of the field's values, in the words of its type's description; None for an error that is not about limits."""
    if error["type"] in LENGTHS:
        return field.description or "at least one entry"
    if error["type"] not in BOUNDS:
        return None
    text = next(_descriptions(field.annotation), field.description) or BOUNDS[error["type"]].format(**error.get("ctx", {}))
    return f"{text}, or null" if type(None) in typing.get_args(field.annotation) else text


def _descriptions(kind: Any) -> Iterator[str]:
    """Descriptions in the parts of an annotation. Of a type that narrows another one, its own comes first."""
    for part in reversed(typing.get_args(kind)):
        if isinstance(part, FieldInfo):
            if part.description:
                yield part.description
        else:
            yield from _descriptions(part)


def _types(key: str, field: FieldInfo, value: Any) -> str:
    """The types that the field takes; for a single value instead of a list, also how to write the list."""
    text = _described(field.annotation)
    lists = [kind for kind in (field.annotation, *map(_plain, typing.get_args(field.annotation))) if typing.get_origin(kind) is tuple]
    alone = any(type(value) is _plain(typing.get_args(kind)[0]) for kind in lists)
    return f"{text}; write {key}: [{value}]" if alone else text


def _described(kind: Any) -> str:
    """An annotation in words."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _described(options[0])
    if origin in (tuple, list, Sequence):
        return f"a list of {getattr(_plain(options[0]), '__name__', 'values')}"
    if origin is dict or kind is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return "keys and values"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(map(_described, options)))
    if origin is Literal:
        return " or ".join(map(str, options))
    return {type(None): "null", float: "a finite number"}.get(kind) or getattr(kind, "__name__", str(kind))


def _plain(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def _joined(*parts: str | int) -> str:
    return ".".join(str(part) for part in parts if part != "")
