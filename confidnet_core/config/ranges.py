"""Number types with allowed ranges, such as Annotated[int, Field(ge=1)], for params.yaml and the settings of scores, data sets and models.

A `description` completes the error message "X is 2; expected ..." where pydantic's own text would say too little.
"""

from collections import Counter
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from confidnet_core.config.section import require_valid_setting

ListItem = TypeVar("ListItem")
MAX_INT32 = 2**31 - 1  # upper limit of whole numbers in params.yaml

PositiveInt = Annotated[int, Field(ge=1, le=MAX_INT32)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MAX_INT32)]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="whole numbers from 0 to 2**63 - 1")]
SplitSeed = Annotated[int, Field(ge=0, lt=2**32)]  # limit of numpy's legacy generator, which drew the published splits
# Whole numbers whose size is time or memory: the limits are beyond all that a study needs, and stop a slip of the hand.
Epochs = Annotated[int, Field(ge=1, le=100_000)]
BatchSize = Annotated[int, Field(ge=1, le=2**20)]
Passes = Annotated[int, Field(ge=0, le=100_000)]
ImageSide = Annotated[int, Field(ge=1, le=2**14)]
LayerWidth = Annotated[int, Field(ge=1, le=2**16)]
MAX_SEEDS, MAX_RESAMPLES, MAX_RISKS = 1000, 1_000_000, 100

PositiveFloat = Annotated[float, Field(gt=0, description="a number above 0")]
NonNegativeFloat = Annotated[float, Field(ge=0, description="at least 0")]
FractionBelowOne = Annotated[float, Field(ge=0, lt=1, description="at least 0 and below 1")]
Proportion = Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1")]

# Settings of models.
WidthFactor = Annotated[float, Field(gt=0, le=16, description="a number above 0, at most 16; 1.0 is the published size")]
PretrainedWeights = bool | str  # whether to start from ImageNet weights, or the file that holds them

# Settings of data sets.
PathText = Annotated[str, Field(min_length=1, description="a path")]
ValidationSize = Annotated[
    Annotated[int, Field(ge=0, le=MAX_INT32)] | Annotated[float, Field(ge=0, lt=1)],
    Field(description="a number of training images, or a share of them below 1"),
]


def _list_to_tuple(yaml_value: Any) -> Any:
    """Return a YAML list as the tuple that a frozen pydantic model stores; any other value unchanged."""
    return tuple(yaml_value) if isinstance(yaml_value, list) else yaml_value


def _require_distinct(list_items: tuple[ListItem, ...]) -> tuple[ListItem, ...]:
    """Return the items of a list in params.yaml if none occurs twice; else raise an error that names the repeated item."""
    count_of_item = Counter(list_items)
    for list_item in list_items:
        require_valid_setting("", list(list_items), count_of_item[list_item] == 1, f"{list_item} once only")
    return list_items


def reject_bool_and_float(setting_value: Any) -> Any:
    """Return the value of a setting unchanged, or raise ValueError if it is a boolean or a float.

    Without this check, True and 1.0 would count as 1 in a Literal of numbers.
    """
    if isinstance(setting_value, bool | float):
        raise ValueError("no whole number")
    return setting_value


ListOf = Annotated[tuple[ListItem, ...], BeforeValidator(_list_to_tuple)]
DistinctListOf = Annotated[tuple[ListItem, ...], BeforeValidator(_list_to_tuple), AfterValidator(_require_distinct)]
NonEmptyDistinctListOf = Annotated[
    tuple[ListItem, ...], BeforeValidator(_list_to_tuple), Field(min_length=1), AfterValidator(_require_distinct)
]
