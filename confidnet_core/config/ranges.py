"""Types with ranges, for the sections of params.yaml and for the settings of scores, data sets and models: Annotated[int, Field(ge=1)].

A `description` completes the message "X is 2; expected ...", where pydantic's own limit would say too little.
"""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from confidnet_core.config.section import require

T = TypeVar("T")
LARGEST = 2**31 - 1

Count = Annotated[int, Field(ge=1, le=LARGEST)]
Whole = Annotated[int, Field(ge=0, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="whole numbers from 0 to 2**63 - 1")]
SplitSeed = Annotated[int, Field(ge=0, lt=2**32)]  # all that numpy's legacy generator takes, with which the published splits were drawn
Byte = Annotated[int, Field(ge=0, le=255, description="a value from 0 to 255")]

Positive = Annotated[float, Field(gt=0, description="a number above 0")]
NonNegative = Annotated[float, Field(ge=0, description="at least 0")]
Share = Annotated[float, Field(ge=0, lt=1, description="at least 0 and below 1")]
Proportion = Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1")]

# Of models.
Width = Annotated[float, Field(gt=0, le=16, description="a number above 0, at most 16; 1.0 is the published size")]  # scales channels
ImageNet = bool | str  # whether convolutions start from ImageNet's weights, or the file that holds them

# Of data sets.
PathText = Annotated[str, Field(min_length=1, description="a path")]
Validation = Annotated[
    Annotated[int, Field(ge=0, le=LARGEST)] | Annotated[float, Field(ge=0, lt=1)],
    Field(description="a number of training images, or a share of them below 1"),
]


def _from_list(value: Any) -> Any:
    """A list of YAML as the tuple of a frozen model."""
    return tuple(value) if isinstance(value, list) else value


def _each_once(values: tuple[T, ...]) -> tuple[T, ...]:
    for value in values:
        require("", list(values), values.count(value) == 1, f"{value} once only")
    return values


def whole(value: Any) -> Any:
    """The value, if it is no boolean or float: in a Literal of numbers True and 1.0 would pass for 1."""
    if isinstance(value, bool | float):
        raise ValueError("no whole number")
    return value


ListOf = Annotated[tuple[T, ...], BeforeValidator(_from_list)]
DistinctListOf = Annotated[tuple[T, ...], BeforeValidator(_from_list), AfterValidator(_each_once)]
Selection = Annotated[tuple[T, ...], BeforeValidator(_from_list), Field(min_length=1), AfterValidator(_each_once)]
