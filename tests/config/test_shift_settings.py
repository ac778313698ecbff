"""`shifts` and `foreign` of a benchmark in params.yaml: what they may hold, and images that are those of another benchmark."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from small_params import VALID, changed, load, refusal

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.shifts import Shifts

SMALL = ("benchmarks", "small")


def test_a_benchmark_has_neither_unless_it_names_them(tmp_path: Path):
    benchmark = load(tmp_path, VALID).benchmark("small")
    assert (benchmark.shifts, benchmark.foreign) == (None, {})


def test_shifts_are_all_corruptions_in_three_severities_unless_some_are_chosen(tmp_path: Path):
    everything = load(tmp_path, changed((*SMALL, "shifts"), {})).benchmark("small").shifts
    assert everything == Shifts() and len(everything.corruptions) == 6 and everything.severities == (1, 2, 3)
    chosen = {"corruptions": ["blur"], "severities": [3, 1], "seed": 7}
    shifts = load(tmp_path, changed((*SMALL, "shifts"), chosen)).benchmark("small").shifts
    assert (shifts.corruptions, shifts.severities, shifts.seed) == (("blur",), (3, 1), 7)


@pytest.mark.parametrize(
    ("shifts", "message"),
    [
        ({"corruptions": ["fog"]}, "benchmarks.small.shifts.corruptions"),
        ({"corruptions": []}, "benchmarks.small.shifts.corruptions"),
        ({"severities": [0]}, "benchmarks.small.shifts.severities"),
        ({"severities": [True]}, "benchmarks.small.shifts.severities"),
        ({"severities": [1, 1]}, "benchmarks.small.shifts.severities is [1, 1]; expected 1 once only"),
        ({"seed": -1}, "benchmarks.small.shifts.seed is -1; expected at least 0"),
        ({"severity": 1}, "benchmarks.small.shifts has severity, which nothing reads; did you mean severities?"),
    ],
)
def test_other_shifts_are_refused_with_the_key(tmp_path: Path, shifts: dict[str, Any], message: str):
    assert refusal(tmp_path, changed((*SMALL, "shifts"), shifts)).startswith(message)


def test_foreign_images_are_a_data_set_or_those_of_another_benchmark(tmp_path: Path):
    content = changed((*SMALL, "foreign"), {"photos": {"name": "sample_photos", "side": 16}, "other": {"benchmark": "second"}})
    content["benchmarks"]["second"] = {"like": "small", "data": {"name": "digits", "train": 50}}
    params = load(tmp_path, content)
    assert params.benchmark("small").foreign == {
        "photos": RegistryEntryChoice("sample_photos", {"side": 16}),
        "other": RegistryEntryChoice("digits", {"train": 50}),
    }
    assert params.raw_content["benchmarks"]["small"]["foreign"]["other"] == {"name": "digits", "train": 50}
    assert params.benchmark("second").foreign == params.benchmark("small").foreign  # what `like` takes over
    assert content["benchmarks"]["small"]["foreign"]["other"] == {"benchmark": "second"}


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ({"other": {"benchmark": "smal"}}, "benchmarks.small.foreign.other.benchmark names smal, which is not under benchmarks; did you"),
        ({"other": {"benchmark": "small", "side": 3}}, "benchmarks.small.foreign.other has benchmark and other keys; give one of them"),
        ({"photos": {"side": 16}}, "benchmarks.small.foreign.photos lacks name"),
        ({"photos": {"name": "sample_photo"}}, "benchmarks.small.foreign.photos names sample_photo, but"),
        (
            {"photos": {"name": "sample_photos", "sides": 3}},
            "benchmarks.small.foreign.photos has sides, which nothing reads",
        ),
        ({"../photos": {"name": "sample_photos"}}, "benchmarks.small.foreign has the name '../photos'; rename it"),
        (["photos"], "benchmarks.small.foreign is ['photos']; expected keys and values"),
        ([], "benchmarks.small.foreign is []; expected keys and values"),
        (0, "benchmarks.small.foreign is 0; expected keys and values"),
        ({"photos": None}, "benchmarks.small.foreign.photos lacks name"),
    ],
)
def test_other_foreign_images_are_refused_with_the_key(tmp_path: Path, foreign: Any, message: str):
    assert refusal(tmp_path, changed((*SMALL, "foreign"), foreign)).startswith(message)


def test_a_benchmark_that_is_no_mapping_is_refused_where_it_stands(tmp_path: Path):
    content = deepcopy(VALID)
    content["benchmarks"] |= {"odd": 3, "small": content["benchmarks"]["small"] | {"foreign": {"other": {"benchmark": "odd"}}}}
    assert refusal(tmp_path, content).startswith("benchmarks.")
