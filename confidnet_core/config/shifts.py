"""Settings of a benchmark in params.yaml under which its scores are judged on images that are unlike those of its splits."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from confidnet_core.config.ranges import NonEmptyDistinctListOf, NonNegativeInt, reject_bool_and_float
from confidnet_core.config.section import ParamsSection

Corruption = Literal["noise", "blur", "brightness", "contrast", "rotation", "pixelation"]
Severity = Annotated[
    Literal[1, 2, 3], BeforeValidator(reject_bool_and_float), Field(description="whole numbers from 1, mild, to 3, strong")
]


class Shifts(ParamsSection):
    """Section `shifts` of a benchmark: corruptions of its test images, defined in scoring/corruptions.py."""

    corruptions: NonEmptyDistinctListOf[Corruption] = ("noise", "blur", "brightness", "contrast", "rotation", "pixelation")
    severities: NonEmptyDistinctListOf[Severity] = (1, 2, 3)
    seed: NonNegativeInt = 0  # of the noise, and of the direction in which an image is rotated
