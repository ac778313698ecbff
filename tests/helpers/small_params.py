"""A short valid params.yaml, variants of it with one value changed, and data prepared by it."""

import dataclasses
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from confidnet_core.config.params import CalibrationSplit, Params, load_params
from confidnet_core.data import Dataset
from confidnet_core.splits import add_calibration_split

RECIPE = {"epochs": 2, "batch_size": 32, "optimizer": "sgd", "learning_rate": 0.1}
VALID = {
    "run": ["small"],
    "seeds": [0],
    "methods": {"mcp": {}, "trust_score": {"neighbour": 2}},
    "calibration_split": {"share": 0.3333, "gap": 0.05, "seed": 0},
    "bootstrap": {"resamples": 200, "level": 0.95, "seed": 0},
    "thresholds": {"risks": [0.05, 0.3], "serve": 0.3, "delta": 0.1},
    "against": ["mcp", "entropy"],
    "benchmarks": {
        "small": {
            "data": {"name": "digits", "train": 100},
            "model": {"name": "mlp", "hidden": 8},
            "baseline": dict(RECIPE),
            "confidnet": dict(RECIPE),
            "finetune": dict(RECIPE),
            "finetune_augmented": dict(RECIPE),
            "corrected_mcp": dict(RECIPE),
            "second_opinion": dict(RECIPE),
            "mc_dropout": {"passes": 2},
        }
    },
}
BASELINE = ("benchmarks", "small", "baseline")
ABSENT = object()
T = TypeVar("T")


def changed(place: tuple, value: Any) -> dict:
    """VALID with another value at a place, or nothing there if it is ABSENT."""
    content = deepcopy(VALID)
    *parents, last = place
    parent = content
    for key in parents:
        parent = parent.setdefault(key, {})
    if value is ABSENT:
        del parent[last]
    else:
        parent[last] = value
    return content


def replace(thing: T, **changes: Any) -> T:
    """dataclasses.replace, also for what params.yaml holds: of a section the result is checked, of all of it not."""
    if isinstance(thing, Params):
        return thing.model_copy(update=changes)
    return type(thing)(**dict(thing) | changes) if isinstance(thing, BaseModel) else dataclasses.replace(thing, **changes)


def load(folder: Path, content: Any) -> Params:
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    return load_params(folder / "params.yaml")


def refusal(folder: Path, content: Any) -> str:
    """The message, after the name of the file."""
    with pytest.raises(ValueError) as caught:
        load(folder, content)
    file, found, message = str(caught.value).partition("params.yaml: ")
    assert found and Path(file) == folder and "\n" not in message
    return message


def prepared(dataset: Dataset) -> Dataset:
    """With the splits that the stage `prepare` stores."""
    return add_calibration_split(dataset, CalibrationSplit(**VALID["calibration_split"]))
