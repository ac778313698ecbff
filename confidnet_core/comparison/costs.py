"""Costs of confidence scores: what each needs beside the classifier's own forward pass, as attributes of its function say.

This module holds no seconds, because they differ between machines and would make the outputs of equal studies differ. MLflow stores them,
and cli/timed_costs.py adds them to these tables.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from confidnet_core.comparison.lines import iterate_groups, iterate_rows
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_attributes, literal_attribute
from confidnet_core.evaluation.stored import StoredResults

COST_COLUMNS = ["benchmark", "method", "needs", "extra_passes"]
NEEDS_COLUMN = Column("needs", "needs", is_text=True)
EXTRA_PASSES_COLUMN = Column("extra_passes", "extra forward passes", number_format=".0f")
NO_REQUIREMENT = "nothing"
# Value of the attribute `learned` of a score's function -> (its name in tables, its meaning).
REQUIREMENTS = {
    "trained": ("trained network", "a network is trained for the score, or further classifiers are"),
    "fitted": ("validation data", "a few numbers are fitted on the validation split"),
    "neighbours": ("training features", "features of training samples are stored, and the nearest ones searched"),
}


@dataclass(frozen=True)
class MethodOnBenchmark:
    """A confidence score (method) on one benchmark, with the study's parameters, whose extra forward passes are to be counted."""

    method: str
    benchmark: str
    params: Params

    def count_dropout_passes(self) -> int:
        """Return the number of stochastic forward passes per image."""
        return self.params.benchmarks[self.benchmark].mc_dropout.passes

    def count_other_seeds(self) -> int:
        """Return the number of classifiers trained with other seeds."""
        return len(self.params.seeds) - 1

    def count_views(self) -> int:
        """Return the number of augmented views per image, counted by the score's own `count_views`."""
        count: Callable[[Any, Mapping[str, Any]], int] = entry_attributes("scores", [self.method], "count_views")[self.method]
        return count(self.params.benchmarks[self.benchmark], self.params.methods[self.method])


# Value of the attribute `passes` of a score's function, where params.yaml decides -> the function that counts the passes.
PASS_COUNTERS: dict[str, Callable[[MethodOnBenchmark], int]] = {
    "dropout": MethodOnBenchmark.count_dropout_passes,
    "seeds": MethodOnBenchmark.count_other_seeds,
    "views": MethodOnBenchmark.count_views,
}


@dataclass(frozen=True)
class StageCounts:
    """How many times each pipeline stage runs for a score.

    prediction: STAGE -> number of runs at prediction time, beside `predict` of the classifier itself
    training: STAGE -> number of runs before prediction
    """

    prediction: Mapping[str, int]
    training: Mapping[str, int]


def method_requirements(methods: Iterable[str]) -> dict[str, str]:
    """Return METHOD -> what it needs in words, from REQUIREMENTS, or NO_REQUIREMENT where its attribute `learned` is not set.

    ValueError for a value of `learned` that REQUIREMENTS does not have.
    """
    attributes = entry_attributes("scores", methods, "learned")
    for method, attribute in attributes.items():
        if attribute is not None and attribute not in REQUIREMENTS:
            raise ValueError(
                f"scores/{method}.py has learned {attribute!r}; known: {', '.join(REQUIREMENTS)}; leave it out where nothing is"
            )
    return {method: REQUIREMENTS[attribute][0] if attribute else NO_REQUIREMENT for method, attribute in attributes.items()}


def count_extra_passes(methods: Iterable[str], benchmark: str, params: Params) -> dict[str, int]:
    """Return METHOD -> number of forward passes per image beside the classifier's own, 0 where the attribute `passes` is not set.

    ValueError for a word in `passes` that PASS_COUNTERS does not have.
    """
    counts = {}
    for method, count in entry_attributes("scores", methods, "passes").items():
        if isinstance(count, str) and count not in PASS_COUNTERS:
            raise ValueError(f"scores/{method}.py has passes {count!r}; expected a number, or one of {', '.join(PASS_COUNTERS)}")
        counts[method] = PASS_COUNTERS[count](MethodOnBenchmark(method, benchmark, params)) if isinstance(count, str) else count or 0
    return counts


def stage_counts(method: str, extra_passes: int) -> StageCounts:
    """Return how many times each stage runs for METHOD, which needs EXTRA_PASSES passes per image, without importing the score's module."""
    passes, training_stages = literal_attribute("scores", method, "passes"), literal_attribute("scores", method, "trainings") or ()
    prediction_stages = {"dropout": {"sample": 1}, "seeds": {"predict": extra_passes}}.get(passes, {})
    return StageCounts(prediction_stages, dict.fromkeys(training_stages, extra_passes if passes == "seeds" else 1))


def cost_frame(all_stored: Iterable[StoredResults], params: Params) -> pd.DataFrame:
    """Return one row per benchmark and method, without the oracle, in the columns benchmark, method, needs and extra_passes."""
    rows = []
    for stored in {stored.benchmark: stored for stored in all_stored}.values():
        methods = stored.compared_methods()
        requirements, pass_counts = method_requirements(methods), count_extra_passes(methods, stored.benchmark, params)
        rows += [[stored.benchmark, method, requirements[method], pass_counts[method]] for method in methods]
    return pd.DataFrame(rows, columns=COST_COLUMNS)


def cost_tables(costs: pd.DataFrame) -> dict[str, list[Table]]:
    """Return BENCHMARK -> its cost table in a list, from all rows of a `cost_frame`."""
    return {benchmark: [cost_table(rows)] for benchmark, rows in iterate_groups(costs, "benchmark")}


def cost_table(costs: pd.DataFrame) -> Table:
    """Return the cost table of one benchmark, from its rows of a `cost_frame`."""
    needed = set(costs["needs"])
    legend = (
        "Beside the one forward pass of the classifier that gives the prediction; its logits and features are free for every score.",
        *(f"{word.capitalize()}: {meaning}." for word, meaning in REQUIREMENTS.values() if word in needed),
        "Extra forward passes: of a network, for each image that is scored; stochastic ones begin at the first dropout layer.",
        "Milliseconds an image and training seconds are not among the results, since they differ from machine to machine:",
        "`confidnet show --cost` prints those that MLflow has of the last runs, `confidnet report` shows them on the page.",
    )
    rows = (Row(row.method, display_name(row.method), (Cell(text=row.needs), Cell(row.extra_passes))) for row in iterate_rows(costs))
    return Table("What a score costs", (NEEDS_COLUMN, EXTRA_PASSES_COLUMN), tuple(rows), legend=legend)
