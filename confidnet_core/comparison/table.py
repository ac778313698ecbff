"""Methods side by side: one table over benchmarks, seeds and methods, its means over seeds, and its rendering for readers and for DVC.

What each metric measures stands with its definition in metrics/failure.py.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from confidnet_core.evaluation.result import KEYS, METRICS, Evaluation


class Column(NamedTuple):
    metric: str
    title: str
    higher_is_better: bool
    scale: int

    @property
    def heading(self) -> str:
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


# Percent for rates and areas under precision and ROC curves, thousandths for risks: as in the ConfidNet paper and in the AURC literature.
COLUMNS = (
    Column("fpr_at_95_tpr", "FPR@95%TPR", False, 100),
    Column("aupr_error", "AUPR-Error", True, 100),
    Column("aupr_success", "AUPR-Success", True, 100),
    Column("auroc", "AUROC", True, 100),
    Column("aurc", "AURC", False, 1000),
    Column("e_aurc", "E-AURC", False, 1000),
    Column("augrc", "AUGRC", False, 1000),
)
WORKING_POINTS = (  # compared, but not among the columns of `markdown`
    Column("risk_at_80_coverage", "Risk@80%", False, 100),
    Column("coverage_at_1_risk", "Coverage@1%", True, 100),
    Column("coverage_at_5_risk", "Coverage@5%", True, 100),
)
UNDEFINED = "–"  # noqa: RUF001


def table(evaluations: Iterable[Evaluation]) -> pd.DataFrame:
    """One row an evaluation, in the given order; undefined metrics are NaN, which CSV leaves empty.

    ValueError for no evaluation at all, one given twice, or methods that were not evaluated on the same predictions.
    """
    rows = [{key: getattr(one, key) for key in KEYS} | {name: one.metrics[name] for name in METRICS} for one in evaluations]
    if not rows:
        raise ValueError("there is no evaluation to compare; params.yaml must list at least one benchmark, seed and method")
    frame = pd.DataFrame(rows).astype(dict.fromkeys(METRICS, float))
    twice = frame.duplicated(["benchmark", "seed", "method"])
    if twice.any():
        raise ValueError(f"evaluated twice: {_named(frame[twice])}; params.yaml may list a benchmark, seed or method once")
    for _, group in frame.groupby(["benchmark", "seed"], sort=False):
        other = group[(group[["samples", "errors"]] != group[["samples", "errors"]].iloc[0]).any(axis=1)]
        if len(other):
            pair = f"{_named(other)} and {_named(group.iloc[:1])}"
            raise ValueError(f"{pair} differ in samples or errors, so they cannot be compared; run `dvc repro`")
    return frame


def mean_over_seeds(frame: pd.DataFrame, intervals: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row for each benchmark and method of a `table`: `seeds` (their number), the means of samples, errors and metrics.

    A metric that is undefined for one seed is undefined. With two seeds or more `<metric>_std` is the sample standard deviation.
    intervals: of the means, as from `differences.intervals`; its `<metric>_low` and `<metric>_high` are joined
    """
    groups = frame.groupby(["benchmark", "method"], sort=False)
    means = groups[["samples", "errors", *METRICS]].agg(lambda values: values.mean(skipna=False))
    means.insert(0, "oracle", groups["oracle"].first())
    means.insert(1, "seeds", groups["seed"].nunique())
    if (means["seeds"] > 1).any():
        means = means.join(groups[list(METRICS)].agg(lambda values: values.std(ddof=1, skipna=False)).add_suffix("_std"))
    return (means if intervals is None else means.join(intervals)).reset_index()


def markdown(
    frame: pd.DataFrame,
    intervals: pd.DataFrame | None = None,
    notes: Mapping[str, str] | None = None,
    below: Iterable[Mapping[str, str]] = (),
    learned: Mapping[str, str] | None = None,
) -> str:
    """A `table` as one Markdown section a benchmark, aligned for reading as plain text, too.

    The best value of each column is bold; the oracle is last and never best. intervals: see mean_over_seeds. notes: BENCHMARK ->
    what stands above its table; below: the same, in order, for what stands below; learned: METHOD -> a word for a second column.
    """
    sections = []
    for benchmark, group in frame.groupby("benchmark", sort=False):
        parts = (table_text(group, intervals, (notes or {}).get(benchmark), learned), *(texts.get(benchmark) for texts in below))
        sections.append("\n\n".join([f"## {benchmark}", *(part for part in parts if part)]))
    return "\n\n".join([*sections, legend(frame, intervals is not None, learned is not None)]) + "\n"


def table_text(
    group: pd.DataFrame, intervals: pd.DataFrame | None = None, note: str | None = None, learned: Mapping[str, str] | None = None
) -> str:
    """One benchmark of a `table` in `markdown`: accuracy, note and the table itself."""
    lines = aligned(_cells(group, intervals, learned), left=1 if learned is None else 2)
    return "\n\n".join(part for part in (_accuracy_line(group), note, "\n".join(lines)) if part)


def legend(frame: pd.DataFrame, intervals: bool, learned: bool = False) -> str:
    """What stands below the tables of `markdown`."""
    over_seeds = "; mean ± sample standard deviation over seeds" if frame["seed"].nunique() > 1 else ""
    oracle = ", the oracle aside: it bounds what learning the true class probability can reach" if frame["oracle"].any() else ""
    lines = [
        f"FPR, AUPR and AUROC in percent, AURC, E-AURC and AUGRC times 1000{over_seeds}.",
        f"↑ higher is better, ↓ lower is better. {UNDEFINED} undefined.",
        f"Bold: best of its column{oracle}.",
        *(["In brackets: intervals over resamples of the test set, by image for segmentation."] if intervals else []),
        *(["Learned: whether something had to be trained, fitted or kept for the score; no: it reads the classifier alone."] * learned),
    ]
    return "\n".join(lines)


def summary(frame: pd.DataFrame) -> dict:
    """A `table` in the few numbers that DVC shows as columns: accuracy, errors, AUPR-Error of each score, and the best of these.

    In percent, means over seeds, two decimals, None where undefined. The oracle is left out: it is no result.
    """
    content = {}
    for benchmark, group in frame.groupby("benchmark", sort=False):
        seeds, results = group.drop_duplicates("seed"), means_by_method(group[~group["oracle"]])
        found = {method: _percent(means["aupr_error"]) for method, means in results.items()}
        best = max((method for method, value in found.items() if value is not None), key=found.get, default=None)
        content[benchmark] = {
            "accuracy": _percent(seeds["accuracy"].mean()),
            "errors": round(float(seeds["errors"].mean()), 2),
            "aupr_error": found,
            "best_score": best,
            "best": None if best is None else found[best],
        }
    return content


def means_by_method(frame: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """METHOD -> metric -> mean over seeds, None where undefined, of a `table` of one benchmark."""
    means = mean_over_seeds(frame).set_index("method")[list(METRICS)]
    return {method: {name: None if np.isnan(value) else value for name, value in row.items()} for method, row in means.iterrows()}


def conventions_table(found: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    """METHOD -> PROJECT -> metric -> fraction, of `conventions`, as a Markdown table in the units of `markdown`."""
    columns = [
        column for column in COLUMNS if any(column.metric in metrics for by_project in found.values() for metrics in by_project.values())
    ]
    rows = [["method", "as printed by", *(column.heading for column in columns)]]
    for method, by_project in found.items():
        for project, metrics in by_project.items():
            numbers = (np.nan if (value := metrics.get(column.metric)) is None else value * column.scale for column in columns)
            rows.append([method, project, *map(shown, numbers)])
    return "\n".join(aligned(rows, left=2))


def aligned(rows: list[list[str]], left: int = 1) -> list[str]:
    """Header and rows as the lines of a Markdown table, the first LEFT columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.ljust] * left + [str.rjust] * (len(widths) - left)
    cells = [[pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)] for row in rows]
    rule = [*("-" * width for width in widths[:left]), *("-" * (width - 1) + ":" for width in widths[left:])]
    return ["| " + " | ".join(line) + " |" for line in (cells[0], rule, *cells[1:])]


def values(means: pd.DataFrame, column: Column) -> list[str]:
    """The column of `mean_over_seeds` as it is shown, with the deviation where there is one."""
    scaled = means[column.metric] * column.scale
    spreads = means.get(f"{column.metric}_std", pd.Series(np.nan, means.index)) * column.scale
    return [shown(value) + ("" if np.isnan(spread) else f" ± {spread:.2f}") for value, spread in zip(scaled, spreads, strict=True)]


def spans(means: pd.DataFrame, column: Column) -> list[str]:
    """The intervals of `values`, as " [46.10, 57.03]"; nothing where there is none."""
    if f"{column.metric}_low" not in means:
        return [""] * len(means)
    ends = means[[f"{column.metric}_low", f"{column.metric}_high"]] * column.scale
    return ["" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]" for low, high in ends.to_numpy()]


def shown(value: float, sign: str = "") -> str:
    """Two decimals, or UNDEFINED for NaN. sign: "+" to show it."""
    return UNDEFINED if np.isnan(value) else f"{value:{sign}.2f}"


def counted(value: float) -> str:
    """Thousands apart; of a mean over seeds that is no whole number, one decimal."""
    return f"{value:,.1f}".removesuffix(".0")


def _named(frame: pd.DataFrame) -> str:
    return ", ".join(f"{row.benchmark} seed {row.seed} {row.method}" for row in frame.itertuples())


def _cells(group: pd.DataFrame, intervals: pd.DataFrame | None, learned: Mapping[str, str] | None) -> list[list[str]]:
    """Header and rows of one benchmark, the oracle last."""
    means = mean_over_seeds(group, intervals).sort_values("oracle", kind="stable")
    most = int(means["seeds"].max())
    columns = [["method", *(_label(row.method, bool(row.oracle), int(row.seeds), most) for row in means.itertuples())]]
    if learned is not None:
        columns.append(["learned", *(learned[method] for method in means["method"])])
    for column in COLUMNS:
        cells = zip(values(means, column), spans(means, column), _are_best(means, column), strict=True)
        columns.append([column.heading, *((f"**{value}**" if is_best else value) + span for value, span, is_best in cells)])
    return [list(row) for row in zip(*columns, strict=True)]


def _label(method: str, oracle: bool, seeds: int, most_seeds: int) -> str:
    label = f"{method} (oracle: uses the labels)" if oracle else method
    return label if seeds == most_seeds else f"{label} ({seeds} of {most_seeds} seeds)"


def _are_best(means: pd.DataFrame, column: Column) -> list[bool]:
    # Compared as shown: of two equal numbers in print, both are best.
    printed = (means[column.metric] * column.scale).map(lambda value: float(f"{value:.2f}")).where(~means["oracle"])
    return (printed == (printed.max() if column.higher_is_better else printed.min())).tolist()


def _accuracy_line(group: pd.DataFrame) -> str:
    seeds = group.drop_duplicates("seed")
    facts = [f"accuracy {shown(100 * row.accuracy)}%, {row.errors:,} errors among {row.samples:,}" for row in seeds.itertuples()]
    return facts[0] if len(facts) == 1 else "; ".join(f"seed {seed}: {fact}" for seed, fact in zip(seeds["seed"], facts, strict=True))


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * float(value), 2)
