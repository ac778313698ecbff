"""YAML values as typed Python ones: a key too many or too few and a value of another type are refused, with their place.

The types are the annotations of dataclasses and functions; a place is written as in "benchmarks.digits.baseline.epochs".
"""

import math
import re
import types
import typing
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal

from confidnet_core.config.registry import suggestion


def require(name: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value}; expected {expected}")


def build(place: str, kind: type, raw: Any) -> Any:
    """A dataclass from a mapping, with every key and type checked; so are its own rules, which name a key only."""
    raw = mapping(place, raw)
    kinds = {field.name: field.type for field in fields(kind)}
    check_keys(place, raw, tuple(field.name for field in fields(kind) if field.default is MISSING), tuple(kinds))
    try:
        return kind(**{key: typed(key, kinds[key], value) for key, value in raw.items()})
    except ValueError as error:
        raise ValueError(f"{place}.{error}") from None


def typed(place: str, kind: Any, value: Any) -> Any:
    """The value as kind, an annotation. A whole number will do for a float, nothing else is converted: True is no int."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if kind is float and type(value) is int:
        return float(value)
    if origin is tuple:
        return list_of(place, options[0], value)
    if is_dataclass(kind):
        return build(place, kind, value)
    if origin in (types.UnionType, typing.Union):
        for option in options:
            with suppress(ValueError):
                return typed(place, option, value)
    elif origin is Literal:
        if (type(value), value) in [(type(option), option) for option in options]:
            return value
    elif not isinstance(kind, type) or kind.__module__ != "builtins":
        return value  # an annotation of an entry's own, which YAML has no type for
    elif type(value) is kind and (kind is not float or math.isfinite(value)):
        return value
    raise ValueError(f"{place} is {value!r}; expected {_described(kind)}")


def _described(kind: Any) -> str:
    options = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return f"a list of {options[0].__name__}"
    if options:
        return " or ".join(map(_described, options))
    return {type(None): "null", float: "a finite number"}.get(kind) or getattr(kind, "__name__", str(kind))


def check_keys(place: str, raw: dict, required: tuple[str, ...], known: tuple[str, ...] | None = None) -> None:
    """known: required and optional keys; None where all are required."""
    known = known or required
    for key in raw:
        if key not in known:
            raise ValueError(f"{place} has {key}, which nothing reads{suggestion(key, known)}")
    for key in required:
        if key not in raw:
            raise ValueError(f"{place} lacks {key}; it must hold {', '.join(required)}")


def mapping(place: str, value: Any) -> dict[str, Any]:
    """Nothing is an empty mapping."""
    require(place, repr(value), value is None or isinstance(value, dict), "keys and values")
    return value or {}


def list_of(place: str, kind: type, value: Any) -> tuple:
    require(place, repr(value), isinstance(value, list) and all(type(item) is kind for item in value), f"a list of {kind.__name__}")
    return tuple(value)


def selection(place: str, kind: type, value: Any) -> tuple:
    """A list with at least one entry and none twice."""
    chosen = list_of(place, kind, value)
    require(place, value, bool(chosen), "at least one entry")
    for item in chosen:
        require(place, value, chosen.count(item) == 1, f"{item} once only")
    return chosen


def named(place: str, value: Any) -> dict[str, Any]:
    """At least one entry, of a name that every tool reads as it stands."""
    entries = mapping(place, value)
    require(place, "empty", bool(entries), "at least one entry")
    for name in entries:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # DVC and MLflow read @ and . as their own
            raise ValueError(f"{place} has the name {name!r}; rename it: text of letters, digits, _ and - only")
    return entries
