"""The legend of masks: which class each value or colour of a mask stands for, as the settings of a data set give it.

A mask is an image in which each pixel has the value, or the colour, of its class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from unicodedata import normalize

import numpy as np
from pydantic import Field

MAX_CLASSES = 255  # labels have 8 bits, and 255 may be void
MAX_MASK_VALUE = 2**16 - 1  # of masks of 16 bits and more

MaskValue = Annotated[int, Field(ge=0, le=MAX_MASK_VALUE, description=f"a value from 0 to {MAX_MASK_VALUE}")]
Colour = Annotated[Sequence[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
ClassesSetting = Annotated[
    Sequence[str] | dict[str, MaskValue | Colour],
    Field(min_length=2, max_length=MAX_CLASSES, description=f"2 to {MAX_CLASSES} names, or names with values"),
]
VoidSetting = MaskValue | Sequence[MaskValue | Colour] | None  # a value, a colour, or a list of these


@dataclass(frozen=True)
class MaskLegend:
    """The class label that each value or colour of a mask stands for. The label of void (unlabelled) pixels is the number of classes."""

    class_names: tuple[str, ...]
    label_of_mask_value: np.ndarray  # int16; the index is a value, 0 to 65535, or a colour, red << 16 | green << 8 | blue; -1 if unknown
    void_label: int | None

    @property
    def uses_colours(self) -> bool:
        return len(self.label_of_mask_value) > MAX_MASK_VALUE + 1


def parse_mask_legend(data_set_name: str, classes_setting: ClassesSetting, void_setting: VoidSetting) -> MaskLegend:
    """Return which label each value or colour of a mask stands for. Raises ValueError naming one that is invalid or used twice.

    data_set_name: the name of the data set, for messages; classes_setting, void_setting: its settings `classes` and `void`
    """
    is_classes_dict = isinstance(classes_setting, dict)
    mask_value_of_name = classes_setting if is_classes_dict else {name: mask_value for mask_value, name in enumerate(classes_setting)}
    are_all_names_strings = all(isinstance(name, str) for name in mask_value_of_name)
    mask_value_of_class = {normalize("NFC", str(name)): mask_value for name, mask_value in mask_value_of_name.items()}
    has_duplicate_names = len(mask_value_of_class) < len(classes_setting)
    if not 2 <= len(classes_setting) <= MAX_CLASSES or has_duplicate_names or not are_all_names_strings:
        raise ValueError(f"{data_set_name}: classes is {classes_setting}; expected 2 to {MAX_CLASSES} names, each once")
    uses_colours = isinstance(next(iter(mask_value_of_class.values())), Sequence)
    label_of_mask_value = np.full(2**24 if uses_colours else MAX_MASK_VALUE + 1, -1, np.int16)
    for label, (class_name, mask_value) in enumerate(mask_value_of_class.items()):
        _assign_label(label_of_mask_value, f"{data_set_name}: classes.{class_name}", mask_value, label)
    void_values: list[Any] = [] if void_setting is None else list(void_setting) if isinstance(void_setting, Sequence) else [void_setting]
    if uses_colours and void_values and not isinstance(void_values[0], Sequence):
        void_values = [void_values]  # a single colour
    for mask_value in void_values:
        _assign_label(label_of_mask_value, f"{data_set_name}: void", mask_value, len(mask_value_of_class))
    return MaskLegend(tuple(mask_value_of_class), label_of_mask_value, len(mask_value_of_class) if void_values else None)


def _assign_label(label_of_mask_value: np.ndarray, setting_name: str, mask_value: int | Sequence[int], label: int) -> None:
    """Set the element of the table `label_of_mask_value` for a mask's value or colour to `label`. setting_name: begins the messages"""
    uses_colours = len(label_of_mask_value) > MAX_MASK_VALUE + 1
    channel_values, largest_value = [mask_value], MAX_MASK_VALUE
    if uses_colours:
        channel_values, largest_value = list(mask_value) if isinstance(mask_value, Sequence) else [mask_value], 255
    valid_values = [value for value in channel_values if type(value) is int and 0 <= value <= largest_value]
    if not len(valid_values) == len(channel_values) == (3 if uses_colours else 1):
        expected_format_text = "a colour, [red, green, blue] of 0 to 255" if uses_colours else f"a value from 0 to {MAX_MASK_VALUE}"
        raise ValueError(f"{setting_name} is {mask_value!r}; expected {expected_format_text}, as the first class has")
    mask_value_index = int.from_bytes(valid_values, "big") if uses_colours else valid_values[0]
    if label_of_mask_value[mask_value_index] not in (-1, label):
        raise ValueError(f"{setting_name} is {mask_value}, and so is another class; give each its own")
    label_of_mask_value[mask_value_index] = label
