"""Table of what each confidence score costs beside the classifier's own forward pass, read from the attributes of the score's function.

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
from confidnet_core.config.params import Benchmark, Params
from confidnet_core.config.registry import entry_attributes, literal_attribute
from confidnet_core.evaluation.stored import StoredResults

COST_COLUMNS = ["benchmark", "method", "needs", "extra_passes"]
REQUIREMENT_COLUMN = Column("needs", "needs", is_text=True)
EXTRA_PASSES_COLUMN = Column("extra_passes", "extra forward passes", number_format=".0f")
NO_REQUIREMENT_TEXT = "nothing"
# Value of the attribute `learned` of a score's function -> (its name in tables, its meaning).
METHOD_REQUIREMENTS = {
    "trained": ("trained network", "a network is trained for the score, or further classifiers are"),
    "fitted": ("validation data", "a few numbers are fitted on the validation split"),
    "neighbours": ("training features", "features of training samples are stored, and the nearest ones searched"),
}


@dataclass(frozen=True)
class MethodOnBenchmark:
    """A confidence score on one benchmark, with the study's settings. Its methods count the extra forward passes of the score."""

    method: str
    benchmark: str
    params: Params

    def count_dropout_passes(self) -> int:
        """Return how many stochastic forward passes MC dropout makes for each image of this benchmark."""
        return self.params.benchmarks[self.benchmark].mc_dropout.passes

    def count_other_seeds(self) -> int:
        """Return the number of further classifiers that the study trains with other random seeds: one fewer than it has seeds."""
        return len(self.params.seeds) - 1

    def count_views(self) -> int:
        """Return how many augmented versions (views) of each image the score uses, by the attribute `count_views` of its function."""
        count_augmented_views: Callable[[Any, Mapping[str, Any]], int]
        count_augmented_views = entry_attributes("scores", [self.method], "count_views")[self.method]
        return count_augmented_views(self.params.benchmarks[self.benchmark], self.params.methods[self.method])


# Value of the attribute `passes` of a score's function, where params.yaml decides -> the function that counts the passes.
FORWARD_PASS_COUNTERS: dict[str, Callable[[MethodOnBenchmark], int]] = {
    "dropout": MethodOnBenchmark.count_dropout_passes,
    "seeds": MethodOnBenchmark.count_other_seeds,
    "views": MethodOnBenchmark.count_views,
}


@dataclass(frozen=True)
class StageRunCounts:
    """How many times each DVC stage must run for one score.

    prediction_stage_runs: {stage name: number of times at prediction time}, beside the stage `predict` of the classifier itself
    training_stage_runs: {stage name: number of times before prediction}
    """

    prediction_stage_runs: Mapping[str, int]
    training_stage_runs: Mapping[str, int]


def method_requirements(methods: Iterable[str], benchmark: Benchmark | None = None) -> dict[str, str]:
    """Return {method: what the score needs beside the classifier, in words}, such as "trained network" or "nothing".

    The words are those of METHOD_REQUIREMENTS, chosen by the attribute `learned` of the score's function. Raises ValueError for an
    unknown value.
    benchmark: with it, a score that reads a network only where the benchmark trains one needs "trained network" there
    """
    methods = list(methods)
    requirement_key_by_method = entry_attributes("scores", methods, "learned")
    for method, network_names in entry_attributes("scores", methods, "reads_if_trained").items():
        if benchmark is not None and any(getattr(benchmark, network_name) for network_name in network_names or ()):
            requirement_key_by_method[method] = "trained"
    for method, requirement_key in requirement_key_by_method.items():
        if requirement_key is not None and requirement_key not in METHOD_REQUIREMENTS:
            known_keys_text = f"known: {', '.join(METHOD_REQUIREMENTS)}; leave it out where nothing is"
            raise ValueError(f"scores/{method}.py has learned {requirement_key!r}; {known_keys_text}")
    return {
        method: METHOD_REQUIREMENTS[requirement_key][0] if requirement_key else NO_REQUIREMENT_TEXT
        for method, requirement_key in requirement_key_by_method.items()
    }


def count_extra_passes(methods: Iterable[str], benchmark: str, params: Params) -> dict[str, int]:
    """Return {method: number of forward passes per image beside the classifier's own}; 0 for a score that declares none.

    The attribute `passes` of the score's function is the number, or a word for which FORWARD_PASS_COUNTERS has a function that counts the
    passes. Raises ValueError for a word that FORWARD_PASS_COUNTERS does not have.
    """
    extra_passes_by_method = {}
    for method, declared_passes in entry_attributes("scores", methods, "passes").items():
        if isinstance(declared_passes, str) and declared_passes not in FORWARD_PASS_COUNTERS:
            raise ValueError(
                f"scores/{method}.py has passes {declared_passes!r}; expected a number, or one of {', '.join(FORWARD_PASS_COUNTERS)}"
            )
        extra_passes_by_method[method] = (
            FORWARD_PASS_COUNTERS[declared_passes](MethodOnBenchmark(method, benchmark, params))
            if isinstance(declared_passes, str)
            else declared_passes or 0
        )
    return extra_passes_by_method


def stage_run_counts(method: str, extra_passes: int) -> StageRunCounts:
    """Return how many times each DVC stage runs for a score that needs `extra_passes` forward passes per image.

    The score's module is read as text and not imported.
    """
    declared_passes, training_stages = literal_attribute("scores", method, "passes"), literal_attribute("scores", method, "trainings") or ()
    prediction_stage_runs = {"dropout": {"sample": 1}, "seeds": {"predict": extra_passes}}.get(declared_passes, {})
    return StageRunCounts(prediction_stage_runs, dict.fromkeys(training_stages, extra_passes if declared_passes == "seeds" else 1))


def cost_frame(all_stored_results: Iterable[StoredResults], params: Params) -> pd.DataFrame:
    """Return what each score needs on each benchmark, as a data frame with one row per benchmark and method, without the oracle.

    The columns are benchmark, method, needs (words of `method_requirements`) and extra_passes (forward passes per image).
    """
    cost_rows = []
    for stored_results in {stored_results.benchmark: stored_results for stored_results in all_stored_results}.values():
        methods = stored_results.compared_methods()
        requirement_by_method = method_requirements(methods, params.benchmarks.get(stored_results.benchmark))
        extra_passes_by_method = count_extra_passes(methods, stored_results.benchmark, params)
        cost_rows += [
            [stored_results.benchmark, method, requirement_by_method[method], extra_passes_by_method[method]] for method in methods
        ]
    return pd.DataFrame(cost_rows, columns=COST_COLUMNS)


def cost_tables(cost_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of costs}. cost_rows: the data frame of `cost_frame`"""
    return {benchmark: [cost_table(benchmark_rows)] for benchmark, benchmark_rows in iterate_groups(cost_rows, "benchmark")}


def cost_table(cost_rows: pd.DataFrame) -> Table:
    """Return the table that lists what each score of one benchmark needs.

    cost_rows: the rows of this benchmark in the data frame of `cost_frame`
    """
    requirement_names = set(cost_rows["needs"])
    legend = (
        "Beside the one forward pass of the classifier that gives the prediction; its logits and features are free for every score.",
        *(
            f"{requirement_name.capitalize()}: {requirement_meaning}."
            for requirement_name, requirement_meaning in METHOD_REQUIREMENTS.values()
            if requirement_name in requirement_names
        ),
        "Extra forward passes: of a network, for each image that is scored; stochastic ones begin at the first dropout layer.",
        "Milliseconds an image and training seconds are not among the results, since they differ from machine to machine:",
        "`confidnet show --cost` prints those that MLflow has of the last runs, `confidnet report` shows them on the page.",
    )
    table_rows = (
        Row(row.method, display_name(row.method), (Cell(text=row.needs), Cell(row.extra_passes))) for row in iterate_rows(cost_rows)
    )
    return Table("What a score costs", (REQUIREMENT_COLUMN, EXTRA_PASSES_COLUMN), tuple(table_rows), legend=legend)
