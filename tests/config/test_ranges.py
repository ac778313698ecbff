"""Every setting of every score, data set and model, and every key of params.yaml, has a range or a meaning in its type."""

import typing
from collections.abc import Iterator
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from confidnet_core.config import params, recipes
from confidnet_core.config.choices import ARGUMENTS_FROM_PIPELINE, RegistryEntryChoice, settings_schema
from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_names, find_entry

ENTRIES = [(registry_folder, name) for registry_folder in ARGUMENTS_FROM_PIPELINE for name in entry_names(registry_folder)]
NEEDED = {
    "build": "torchvision.models:resnet18",
    "folder": "images",
    "height": 8,
    "width": 8,
    "classes": ["cell", "rest"],
}  # settings without a default


def settings(registry_folder: str, name: str) -> type[BaseModel]:
    return settings_schema(find_entry(registry_folder, name), ARGUMENTS_FROM_PIPELINE[registry_folder])


def unbounded(kind: Any, metadata: tuple = ()) -> Iterator[Any]:
    """The parts of an annotation that let every number or anything at all through."""
    metadata = [inner for each in metadata for inner in (each.metadata if isinstance(each, FieldInfo) else [each])]
    if typing.get_origin(kind) is typing.Annotated:
        yield from unbounded(kind.__origin__, kind.__metadata__ + tuple(metadata))
    elif typing.get_origin(kind) is not typing.Literal and typing.get_args(kind):
        for part in typing.get_args(kind):
            yield from unbounded(part) if part is not ... else ()
    elif kind in (int, float):
        limited = [any(isinstance(each, ends) for each in metadata) for ends in ((Ge, Gt), (Le, Lt))]
        if not (limited[0] and (limited[1] or kind is float)):
            yield kind
    elif kind in (Any, dict, list, tuple):
        yield kind


@pytest.mark.parametrize(("registry_folder", "name"), ENTRIES, ids="-".join)
def test_every_setting_of_every_entry_has_a_range_or_a_meaning_in_its_type(registry_folder: str, name: str):
    for key, field in settings(registry_folder, name).model_fields.items():
        assert not list(unbounded(field.annotation, tuple(field.metadata))), key


@pytest.mark.parametrize(("registry_folder", "name"), ENTRIES, ids="-".join)
def test_every_default_is_one_of_the_values_that_are_taken(registry_folder: str, name: str):
    fields = settings(registry_folder, name).model_fields
    settings(registry_folder, name).model_validate(
        {key: NEEDED[key] if field.is_required() else field.default for key, field in fields.items()}
    )


SECTIONS = [
    each for module in (params, recipes) for each in vars(module).values() if isinstance(each, type) and issubclass(each, BaseModel)
]


@pytest.mark.parametrize("section", sorted({each for each in SECTIONS if each is not Params}, key=lambda each: each.__name__))
def test_so_has_every_key_of_a_section(section: type[BaseModel]):
    for key, field in section.model_fields.items():
        assert field.annotation is RegistryEntryChoice or not list(unbounded(field.annotation, tuple(field.metadata))), key


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (int, True),
        (float, True),
        (int | None, True),
        (tuple[int, ...], True),
        (dict, True),
        (Any, True),
        (typing.Annotated[int, Ge(1)], True),
        (typing.Annotated[int, Ge(1), Le(9)], False),
        (typing.Annotated[float, Gt(0)] | None, False),
        (typing.Literal[1, 3], False),
        (bool | str, False),
    ],
)
def test_a_type_that_lets_every_number_through_is_seen(kind: Any, found: bool):
    assert bool(list(unbounded(kind))) == found
