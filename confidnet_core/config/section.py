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

TOP_LEVEL_TEXT = "the top level"
PROJECT_ERROR_TYPE = "refused"  # pydantic error type of `validation_error`, whose message needs no rewording
PYDANTIC_UNKNOWN_KEY_ERROR_TYPES = ("extra_forbidden", "invalid_key")  # as pydantic names them
EXPECTED_TEXT_BY_BOUND = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
}
PYDANTIC_LENGTH_ERROR_TYPES = ("too_short", "too_long", "string_too_short")
MAX_REPR_LENGTH = 300  # characters of a value in an error message

PydanticModelType = TypeVar("PydanticModelType", bound=BaseModel)


def validation_error(params_yaml_key: str, problem: str) -> PydanticCustomError:
    """Return the error that a pydantic validator raises; its message is "PARAMS_YAML_KEY PROBLEM".

    params_yaml_key: key below the validated value, "" for the value itself; problem: the rest of the sentence, after the key
    """
    error_context = {"subject": params_yaml_key or TOP_LEVEL_TEXT, "key": params_yaml_key, "problem": problem}
    return PydanticCustomError(PROJECT_ERROR_TYPE, "{subject} {problem}", error_context)


def require_valid_setting(params_yaml_key: str, setting_value: Any, is_valid: bool, expected_text: str) -> None:
    """Raise a `validation_error` unless IS_VALID; its message is "PARAMS_YAML_KEY is SETTING_VALUE; expected EXPECTED_TEXT"."""
    if not is_valid:
        raise validation_error(params_yaml_key, f"is {shortened_repr(setting_value)}; expected {expected_text}")


class ParamsSection(BaseModel):
    """Base class of the typed sections of params.yaml: mappings with known keys. None (an empty YAML value) counts as an empty mapping."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _raise_one_line_error(cls, raw_section: Any, validate_fields: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate_fields({} if raw_section is None else raw_section)
        except ValidationError as error:
            sorted_errors = sorted(error.errors(), key=_error_priority)
            raise _most_important_error(cls, raw_section or {}, sorted_errors) from None


def validate_section(
    section_class: type[PydanticModelType], raw_section: Any, key_prefix: str = "", **validation_context: Any
) -> PydanticModelType:
    """Return a mapping from params.yaml as an object of the pydantic class SECTION_CLASS, after checking its keys and values.

    ValueError with a message of one line, whose key begins with KEY_PREFIX. validation_context: values that validators can read
    """
    try:
        return section_class.model_validate(raw_section, context=validation_context)
    except ValidationError as error:
        raise first_validation_error(error, key_prefix) from None


def first_validation_error(error: ValidationError, key_prefix: str = "") -> PydanticCustomError:
    """Return the first error in pydantic's ValidationError as a `validation_error`, with KEY_PREFIX before its key."""
    error_details = error.errors()[0]
    error_context = error_details.get("ctx", {})
    return validation_error(_join_key_parts(key_prefix, *error_details["loc"], error_context["key"]), error_context["problem"])


def require_mapping(params_yaml_key: str, yaml_value: Any) -> dict[str, Any]:
    """Return a mapping from params.yaml as a dictionary, empty for None (an empty YAML value). ValueError for any other value."""
    require_valid_setting(params_yaml_key, yaml_value, yaml_value is None or isinstance(yaml_value, dict), "keys and values")
    return yaml_value or {}


def require_named_entries(params_yaml_key: str, yaml_value: Any) -> dict[str, Any]:
    """Return a mapping from params.yaml, such as benchmarks, as a dictionary NAME -> content.

    ValueError if it is empty, or if a name has a character other than letters, digits, _ and -, some of which mean something to
    DVC and MLflow.
    """
    entry_by_name = require_mapping(params_yaml_key, yaml_value)
    if not entry_by_name:
        raise validation_error(params_yaml_key, "is empty; expected at least one entry")
    for entry_name in entry_by_name:
        if not isinstance(entry_name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", entry_name):  # @ and . have a meaning for DVC and MLflow
            raise validation_error(params_yaml_key, f"has the name {entry_name!r}; rename it: text of letters, digits, _ and - only")
    return entry_by_name


def shortened_repr(shown_value: Any) -> str:
    """Return the repr of a value for an error message, cut to MAX_REPR_LENGTH characters."""
    try:
        repr_text = repr(shown_value)
    except ValueError:  # Python does not print integers of more than 4,300 digits
        return "a number of thousands of digits"
    return repr_text if len(repr_text) <= MAX_REPR_LENGTH else f"{repr_text[:MAX_REPR_LENGTH]}..."


def _error_priority(error: ErrorDetails) -> int:
    """Return the rank by which pydantic's errors are sorted: 0 for an unknown key, 1 for a missing key, 2 for others.

    A misspelt key often explains a missing one.
    """
    return 0 if error["type"] in PYDANTIC_UNKNOWN_KEY_ERROR_TYPES else 1 if error["type"] == "missing" else 2


def _most_important_error(section_class: type[BaseModel], raw_section: Any, sorted_errors: list[ErrorDetails]) -> PydanticCustomError:
    """Return the first of pydantic's sorted errors about a section of params.yaml, as a `validation_error` of one line."""
    error_type, key_path = sorted_errors[0]["type"], sorted_errors[0]["loc"]
    if error_type == PROJECT_ERROR_TYPE:
        error_context = sorted_errors[0].get("ctx", {})
        return validation_error(_join_key_parts(*key_path, error_context["key"]), error_context["problem"])
    if not key_path:
        return validation_error("", f"is {shortened_repr(raw_section)}; expected keys and values")
    params_yaml_key, field_by_name = str(key_path[0]), section_class.model_fields
    if error_type in PYDANTIC_UNKNOWN_KEY_ERROR_TYPES:
        return validation_error("", f"has {_printable(params_yaml_key)}, which nothing reads{suggestion(params_yaml_key, field_by_name)}")
    if error_type == "missing":
        required_keys = ", ".join(field_name for field_name, field in field_by_name.items() if field.is_required())
        return validation_error("", f"lacks {params_yaml_key}; it must hold {required_keys}")
    field, setting_value = field_by_name[params_yaml_key], raw_section[params_yaml_key]
    limit_texts = (_describe_limits(field, error) for error in sorted_errors if error["loc"][:1] == key_path[:1])
    expected_text = next(filter(None, limit_texts), None) or _describe_expected_types(params_yaml_key, field, setting_value)
    return validation_error(params_yaml_key, f"is {shortened_repr(setting_value)}; expected {expected_text}")


def _describe_limits(field: FieldInfo, error: ErrorDetails) -> str | None:
    """Return the allowed range of a section's field in words; None if pydantic's error is not about limits."""
    if error["type"] in PYDANTIC_LENGTH_ERROR_TYPES:
        return field.description or "at least one entry"
    if error["type"] not in EXPECTED_TEXT_BY_BOUND:
        return None
    bound_text = EXPECTED_TEXT_BY_BOUND[error["type"]].format(**error.get("ctx", {}))
    limit_text = next(_type_descriptions(field.annotation), field.description) or bound_text
    return f"{limit_text}, or null" if type(None) in typing.get_args(field.annotation) else limit_text


def _type_descriptions(annotation: Any) -> Iterator[str]:
    """Yield the descriptions (of allowed values) in a type annotation; those of a narrowed type come before those of the wider type."""
    for type_argument in reversed(typing.get_args(annotation)):
        if isinstance(type_argument, FieldInfo):
            if type_argument.description:
                yield type_argument.description
        else:
            yield from _type_descriptions(type_argument)


def _describe_expected_types(params_yaml_key: str, field: FieldInfo, setting_value: Any) -> str:
    """Return in words which types a field of a section accepts; for a single value in place of a list, also how to write the list."""
    types_text = _describe_type(field.annotation)
    list_types = [
        list_type
        for list_type in (field.annotation, *map(_unwrap_annotated, typing.get_args(field.annotation)))
        if typing.get_origin(list_type) is tuple
    ]
    is_single_value = any(type(setting_value) is _unwrap_annotated(typing.get_args(list_type)[0]) for list_type in list_types)
    return f"{types_text}; write {params_yaml_key}: [{setting_value}]" if is_single_value else types_text


def _describe_type(annotation: Any) -> str:
    """Return the values that a type annotation allows in words, such as "a finite number" for float."""
    type_origin, type_arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if type_origin is Annotated:
        return _describe_type(type_arguments[0])
    if type_origin in (tuple, list, Sequence):
        return f"a list of {getattr(_unwrap_annotated(type_arguments[0]), '__name__', 'values')}"
    if type_origin is dict or annotation is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "keys and values"
    if type_origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(map(_describe_type, type_arguments)))
    if type_origin is Literal:
        return " or ".join(map(str, type_arguments))
    return {type(None): "null", float: "a finite number"}.get(annotation) or getattr(annotation, "__name__", str(annotation))


def _unwrap_annotated(annotation: Any) -> Any:
    """Return the type inside Annotated[type, ...]; any other type as it is."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _join_key_parts(*key_parts: str | int) -> str:
    """Return the parts of a key joined by dots, such as benchmarks.digits; empty parts are left out."""
    return ".".join(_printable(key_part) for key_part in key_parts if key_part != "")


def _printable(key_part: str | int) -> str:
    """Return a key as a message shows it: as it is, or in quotes with escapes if it holds line breaks or the like."""
    return str(key_part) if str(key_part).isprintable() else repr(key_part)
