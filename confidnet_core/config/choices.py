"""Data sets, models and scores that params.yaml chooses by name, and the check of their settings against the signature of the function."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BeforeValidator, ValidationError, ValidationInfo, create_model

from confidnet_core.config.registry import find_entry
from confidnet_core.config.section import ParamsSection, first_validation_error, require_mapping, validation_error

# Registry folder -> parameters of an entry's function that the pipeline passes itself; all others are settings from params.yaml.
ARGUMENTS_FROM_PIPELINE = {"datasets": (), "models": ("classes", "image_shape"), "scores": ("run",)}


@dataclass(frozen=True)
class RegistryEntryChoice:
    """A data set or model as params.yaml chooses it, with its settings: {name: ..., setting: value}."""

    name: str
    settings: dict[str, Any]


@cache
def settings_schema(entry_function: Callable, arguments_from_pipeline: tuple[str, ...]) -> type[ParamsSection]:
    """Return a pydantic model that checks the settings of a score, data set or model.

    Names, types, ranges and defaults of the settings come from the signature of the function `entry_function`.
    arguments_from_pipeline: parameters of the function that the pipeline passes itself, which are no settings
    """
    parameters = inspect.signature(entry_function, eval_str=True).parameters.values()
    settings = [parameter for parameter in parameters if parameter.name not in arguments_from_pipeline]
    fields: dict[str, Any] = {
        parameter.name: (
            Any if parameter.annotation is parameter.empty else parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in settings
    }
    return create_model(entry_function.__name__, __base__=ParamsSection, **fields)


def check_settings(key: str, registry_folder: str, name: str, raw_content: Any, validation_info: ValidationInfo) -> dict[str, Any]:
    """Return the settings under KEY as params.yaml has them, if the score, data set or model NAME accepts them.

    Else raise a `validation_error`.
    """
    if not _is_checking_registry_entries(validation_info):
        return raw_content or {}
    try:
        entry_function = find_entry(registry_folder, name)
    except ValueError as error:
        raise validation_error(key, f"names {name}, but {error}") from None
    try:
        settings_schema(entry_function, ARGUMENTS_FROM_PIPELINE[registry_folder]).model_validate(raw_content)
    except ValidationError as error:
        raise first_validation_error(error, key) from None
    return raw_content or {}


def _is_checking_registry_entries(validation_info: ValidationInfo) -> bool:
    """Return whether this validation also checks the settings of scores, data sets and models (see `load_params`)."""
    return (validation_info.context or {}).get("check_entries", True)


def registry_entry_validator(registry_folder: str, *, is_optional: bool = False) -> BeforeValidator:
    """Return a pydantic validator that converts {name: ..., setting: value} to a `RegistryEntryChoice` of this registry folder.

    is_optional: whether null stands for None
    """

    def to_registry_entry_choice(raw_content: Any, validation_info: ValidationInfo) -> RegistryEntryChoice | None:
        if isinstance(raw_content, RegistryEntryChoice) or (is_optional and raw_content is None):
            return raw_content
        settings = dict(require_mapping("", raw_content))
        if not (name := settings.pop("name", None)):
            raise validation_error("", f"lacks name, the file of confidnet_core/{registry_folder} to use")
        return RegistryEntryChoice(name, check_settings("", registry_folder, name, settings, validation_info))

    return BeforeValidator(to_registry_entry_choice)


def check_score_names(names: tuple[str, ...], validation_info: ValidationInfo) -> tuple[str, ...]:
    """Return NAMES if each is a score in confidnet_core/scores, listed under `methods` or not; else raise a `validation_error`."""
    for name in names if _is_checking_registry_entries(validation_info) else ():
        try:
            find_entry("scores", name)
        except ValueError as error:
            raise validation_error("", f"names {name}, but {error}") from None
    return names
