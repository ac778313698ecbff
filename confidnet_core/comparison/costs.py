"""What a score costs beside the pass of the classifier that gives the prediction, as its function says by attributes.

Seconds differ from machine to machine, and would make the outputs of equal studies differ: MLflow has them, and cli/timed_costs.py puts
them beside these tables.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from confidnet_core.comparison.lines import groups_of, lines_of
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.config.params import Params
from confidnet_core.config.registry import marks, said
from confidnet_core.evaluation.stored import StoredResults

COLUMNS = ["benchmark", "method", "needs", "extra_passes"]
NEEDS = Column("needs", "needs", words=True)
EXTRA_PASSES = Column("extra_passes", "extra forward passes", form=".0f")
NOTHING = "nothing"
# The attribute `learned` of a score's function: what tables call it, and what it means.
LEARNED = {
    "trained": ("trained network", "a network is trained for the score, or further classifiers are"),
    "fitted": ("validation data", "a few numbers are fitted on the validation split"),
    "neighbours": ("training features", "features of training samples are stored, and the nearest ones searched"),
}


@dataclass(frozen=True)
class Scoring:
    """A method on a benchmark."""

    method: str
    benchmark: str
    params: Params

    def dropout(self) -> int:
        """Stochastic forward passes."""
        return self.params.benchmarks[self.benchmark].mc_dropout.passes

    def seeds(self) -> int:
        """Classifiers of the other seeds."""
        return len(self.params.seeds) - 1

    def views(self) -> int:
        """Augmented views, as the score counts them itself."""
        count: Callable[[Any, Mapping[str, Any]], int] = marks("scores", [self.method], "count_views")[self.method]
        return count(self.params.benchmarks[self.benchmark], self.params.methods[self.method])


# The attribute `passes` where params.yaml decides, and how many they are then.
PASSES: dict[str, Callable[[Scoring], int]] = {"dropout": Scoring.dropout, "seeds": Scoring.seeds, "views": Scoring.views}


@dataclass(frozen=True)
class Stages:
    """The stages that work for a score, and how often each does.

    predicting: at prediction time, beside `predict` of the classifier itself; training: before
    """

    predicting: Mapping[str, int]
    training: Mapping[str, int]


def needs(methods: Iterable[str]) -> dict[str, str]:
    """METHOD -> what it needs, in the words of LEARNED, or NOTHING where the score does not say. ValueError for another word."""
    words = marks("scores", methods, "learned")
    for method, word in words.items():
        if word is not None and word not in LEARNED:
            raise ValueError(f"scores/{method}.py has learned {word!r}; known: {', '.join(LEARNED)}; leave it out where nothing is")
    return {method: LEARNED[word][0] if word else NOTHING for method, word in words.items()}


def extra_passes(methods: Iterable[str], benchmark: str, params: Params) -> dict[str, int]:
    """METHOD -> forward passes of a network for each image beside the classifier's own, 0 where the score does not say. ValueError for a
    word that is not in PASSES."""
    counts = {}
    for method, count in marks("scores", methods, "passes").items():
        if isinstance(count, str) and count not in PASSES:
            raise ValueError(f"scores/{method}.py has passes {count!r}; expected a number, or one of {', '.join(PASSES)}")
        counts[method] = PASSES[count](Scoring(method, benchmark, params)) if isinstance(count, str) else count or 0
    return counts


def stages_of(method: str, extra: int) -> Stages:
    """EXTRA: its `extra_passes`. Read without importing the score."""
    kind, trainings = said("scores", method, "passes"), said("scores", method, "trainings") or ()
    predicting = {"dropout": {"sample": 1}, "seeds": {"predict": extra}}.get(kind, {})
    return Stages(predicting, dict.fromkeys(trainings, extra if kind == "seeds" else 1))


def cost_frame(all_stored: Iterable[StoredResults], params: Params) -> pd.DataFrame:
    """One row a benchmark and method but the oracle: benchmark, method, needs, extra_passes."""
    rows = []
    for stored in {stored.benchmark: stored for stored in all_stored}.values():
        methods = stored.compared_methods()
        words, counts = needs(methods), extra_passes(methods, stored.benchmark, params)
        rows += [[stored.benchmark, method, words[method], counts[method]] for method in methods]
    return pd.DataFrame(rows, columns=COLUMNS)


def cost_tables(costs: pd.DataFrame) -> dict[str, list[Table]]:
    """BENCHMARK -> table of a `cost_frame`."""
    return {benchmark: [cost_table(rows)] for benchmark, rows in groups_of(costs, "benchmark")}


def cost_table(costs: pd.DataFrame) -> Table:
    """One benchmark of a `cost_frame`."""
    used = set(costs["needs"])
    legend = (
        "Beside the one forward pass of the classifier that gives the prediction; its logits and features are free for every score.",
        *(f"{word.capitalize()}: {meaning}." for word, meaning in LEARNED.values() if word in used),
        "Extra forward passes: of a network, for each image that is scored; stochastic ones begin at the first dropout layer.",
        "Milliseconds an image and training seconds are not among the results, since they differ from machine to machine:",
        "`confidnet show --cost` prints those that MLflow has of the last runs, `confidnet report` shows them on the page.",
    )
    rows = (Row(row.method, display_name(row.method), (Cell(text=row.needs), Cell(row.extra_passes))) for row in lines_of(costs))
    return Table("What a score costs", (NEEDS, EXTRA_PASSES), tuple(rows), legend=legend)
