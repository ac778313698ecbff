"""Number types with allowed ranges, such as Annotated[int, Field(ge=1)], for params.yaml and the settings of scores, data sets and models.

A `description` completes the error message "X is 2; expected ..." where pydantic's own text would say too little.
"""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from confidnet_core.config.section import require

T = TypeVar("T")
MAX_INT32 = 2**31 - 1

PositiveInt = Annotated[int, Field(ge=1, le=MAX_INT32)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MAX_INT32)]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="whole numbers from 0 to 2**63 - 1")]
SplitSeed = Annotated[int, Field(ge=0, lt=2**32)]  # limit of numpy's legacy generator, which drew the published splits
Byte = Annotated[int, Field(ge=0, le=255, description="a value from 0 to 255")]

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


def _list_to_tuple(value: Any) -> Any:
    """Return a YAML list as the tuple that a frozen pydantic model stores; any other value unchanged."""
    return tuple(value) if isinstance(value, list) else value


def _require_distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """Return the values if none occurs twice; else raise an error that names the repeated value."""
    for value in values:
        require("", list(values), values.count(value) == 1, f"{value} once only")
    return values


def reject_bool_and_float(value: Any) -> Any:
    """Return a value that is neither a boolean nor a float; ValueError for these.

    Without this check, True and 1.0 would count as 1 in a Literal of numbers.
    """
    if isinstance(value, bool | float):
        raise ValueError("no whole number")
    return value


ListOf = Annotated[tuple[T, ...], BeforeValidator(_list_to_tuple)]
DistinctListOf = Annotated[tuple[T, ...], BeforeValidator(_list_to_tuple), AfterValidator(_require_distinct)]
NonEmptyDistinctListOf = Annotated[tuple[T, ...], BeforeValidator(_list_to_tuple), Field(min_length=1), AfterValidator(_require_distinct)]
