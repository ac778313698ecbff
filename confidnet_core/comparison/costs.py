"""What a score costs beside the pass of the classifier that gives the prediction, as its function says by two attributes.

Seconds differ from machine to machine, and would make the outputs of equal studies differ: MLflow has them, and `timings` reads them there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from confidnet_core.comparison.table import aligned
from confidnet_core.config.params import Params
from confidnet_core.config.registry import marks
from confidnet_core.evaluation.stored import Place

COLUMNS = ["benchmark", "method", "learned", "passes"]
NOT_LEARNED = "no"
# The attribute `learned` of a score's function, and what it means.
LEARNED = {
    "trained": "a network is trained for the score, or further classifiers",
    "fitted": "few numbers are fitted on the validation split",
    "neighbours": "features of training samples are kept, and the nearest searched",
}


@dataclass(frozen=True)
class Scoring:
    """A method on a benchmark."""

    method: str
    benchmark: str
    params: Params

    def dropout(self) -> int:
        return self.params.benchmarks[self.benchmark].mc_dropout.passes

    def seeds(self) -> int:
        return len(self.params.seeds) - 1

    def views(self) -> int:
        """Of scores/_views.py: moved in four directions unless the setting `shift` is 0, and mirrored."""
        moved = 4 if self.params.methods[self.method].get("shift", True) else 0
        return moved + self.params.benchmarks[self.benchmark].baseline.augmentation.flip


# The attribute `passes` where params.yaml decides, and how many they are then.
PASSES: dict[str, Callable[[Scoring], int]] = {"dropout": Scoring.dropout, "seeds": Scoring.seeds, "views": Scoring.views}


def learned(methods: Iterable[str]) -> dict[str, str]:
    """METHOD -> a key of LEARNED, or NOT_LEARNED where the score does not say. ValueError for another word."""
    found = {method: word or NOT_LEARNED for method, word in marks("scores", methods, "learned").items()}
    for method, word in found.items():
        if word not in (NOT_LEARNED, *LEARNED):
            raise ValueError(f"scores/{method}.py has learned {word!r}; known: {', '.join(LEARNED)}; leave it out where nothing is")
    return found


def passes(methods: Iterable[str], benchmark: str, params: Params) -> dict[str, int]:
    """METHOD -> passes of a network for each image beside the classifier's own, 0 where the score does not say. ValueError for a word that
    is not in PASSES."""
    found = {}
    for method, count in marks("scores", methods, "passes").items():
        if isinstance(count, str) and count not in PASSES:
            raise ValueError(f"scores/{method}.py has passes {count!r}; expected a number, or one of {', '.join(PASSES)}")
        found[method] = PASSES[count](Scoring(method, benchmark, params)) if isinstance(count, str) else count or 0
    return found


def cost_frame(everywhere: Iterable[Place], params: Params) -> pd.DataFrame:
    """One row a benchmark and method but the oracle: benchmark, method, learned, passes."""
    rows = []
    for place in {place.benchmark: place for place in everywhere}.values():
        methods = place.results()
        words, counts = learned(methods), passes(methods, place.benchmark, params)
        rows += [[place.benchmark, method, words[method], counts[method]] for method in methods]
    return pd.DataFrame(rows, columns=COLUMNS)


def cost_tables(found: pd.DataFrame) -> dict[str, str]:
    """BENCHMARK -> Markdown of a `cost_frame`."""
    return {benchmark: _table(rows) for benchmark, rows in found.groupby("benchmark", sort=False)}


def _table(found: pd.DataFrame) -> str:
    rows = [["method", "learned", "further passes"], *([one.method, one.learned, str(one.passes)] for one in found.itertuples())]
    legend = [
        "Beside the one pass of the classifier that gives the prediction; its logits and features are free for every score.",
        *(f"{word.capitalize()}: {meaning}." for word, meaning in LEARNED.items() if word in set(found["learned"])),
        "Further passes: of a network, for each image that is scored; those with dropout on begin at the first dropout layer.",
        "Seconds are no result, since they differ from machine to machine: `python -m confidnet_core show --cost` prints those that",
        "MLflow has of the last runs, `python -m confidnet_core report` shows them on the page.",
    ]
    return "\n\n".join(["### What a score costs", "\n".join(aligned(rows, left=2)), " ".join(legend)])
