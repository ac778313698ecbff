"""Sections of params.yaml as pydantic models. What one of them refuses is a single line: where it stands, its value, what was expected.

Frozen, strict (no text for a number, no boolean for a whole number; a whole number will do for a float), without unknown keys, NaN or
infinity. A place is written as in "benchmarks.digits.baseline.epochs".
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
LONGEST = 300  # characters of a value in a message

Model = TypeVar("Model", bound=BaseModel)


def refused(key: str, problem: str) -> PydanticCustomError:
    """The error to raise from a validator: KEY, relative to what is validated and empty for itself, and what is wrong with it."""
    return PydanticCustomError(REFUSED, "{place} {problem}", {"place": key or TOP, "key": key, "problem": problem})


def require(key: str, value: Any, holds: bool, expected: str) -> None:
    """Raises `refused` unless the rule holds."""
    if not holds:
        raise refused(key, f"is {written(value)}; expected {expected}")


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


def checked(kind: type[Model], raw: Any, place: str = "") -> Model:
    """The model from a mapping. ValueError in one line, its key below PLACE."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise first_refusal(error, place) from None


def first_refusal(error: ValidationError, place: str = "") -> PydanticCustomError:
    """The first error of sections, as one that stands in PLACE."""
    found = error.errors()[0]
    return refused(_joined(place, *found["loc"], found["ctx"]["key"]), found["ctx"]["problem"])


def mapping(place: str, value: Any) -> dict[str, Any]:
    """None (an empty YAML value) counts as an empty mapping."""
    require(place, value, value is None or isinstance(value, dict), "keys and values")
    return value or {}


def named(place: str, value: Any) -> dict[str, Any]:
    """A mapping with at least one entry, whose names every tool reads as they stand."""
    entries = mapping(place, value)
    if not entries:
        raise refused(place, "is empty; expected at least one entry")
    for name in entries:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # DVC and MLflow read @ and . as their own
            raise refused(place, f"has the name {name!r}; rename it: text of letters, digits, _ and - only")
    return entries


def written(value: Any) -> str:
    """A value as a message shows it."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _rank(error: ErrorDetails) -> int:
    """An unknown key first: it is often what a missing one was called."""
    return 0 if error["type"] in UNKNOWN_KEY else 1 if error["type"] == "missing" else 2


def _refusal(model: type[BaseModel], raw: Any, errors: list[ErrorDetails]) -> PydanticCustomError:
    """Of the first of the errors that a model found in RAW."""
    kind, place = errors[0]["type"], errors[0]["loc"]
    if kind == REFUSED:
        context = errors[0]["ctx"]
        return refused(_joined(*place, context["key"]), context["problem"])
    if not place:
        return refused("", f"is {written(raw)}; expected keys and values")
    key, fields = str(place[0]), model.model_fields
    if kind in UNKNOWN_KEY:
        return refused("", f"has {key}, which nothing reads{suggestion(key, fields)}")
    if kind == "missing":
        needed = ", ".join(name for name, field in fields.items() if field.is_required())
        return refused("", f"lacks {key}; it must hold {needed}")
    field, value = fields[key], raw[key]
    limits = (_limit(field, error) for error in errors if error["loc"][:1] == place[:1])
    expected = next(filter(None, limits), None) or _types(key, field, value)
    return refused(key, f"is {written(value)}; expected {expected}")


def _limit(field: FieldInfo, error: ErrorDetails) -> str | None:
    """What the field's values lie between, in the words of its type; None for an error of another kind."""
    if error["type"] in LENGTHS:
        return field.description or "at least one entry"
    if error["type"] not in BOUNDS:
        return None
    text = next(_descriptions(field.annotation), field.description) or BOUNDS[error["type"]].format(**error["ctx"])
    return f"{text}, or null" if type(None) in typing.get_args(field.annotation) else text


def _descriptions(kind: Any) -> Iterator[str]:
    """Those of the parts of an annotation; of one that narrows another, its own first."""
    for part in reversed(typing.get_args(kind)):
        if isinstance(part, FieldInfo):
            yield from [part.description] * bool(part.description)
        else:
            yield from _descriptions(part)


def _types(key: str, field: FieldInfo, value: Any) -> str:
    """What the field takes; for a single value in the place of a list, also how to write it."""
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
