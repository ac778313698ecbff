"""What an engineer asks of a comparison: error rates at operating points, scores as probabilities, thresholds with a guarantee, ranks."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import HEADLINE, OPERATING_POINTS, SHOWN, mean_over_seeds, method_row, metric_cell
from confidnet_core.comparison.lines import groups_of
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json
from confidnet_core.metrics.calibration import CALIBRATION_METRICS

PROBABILITY_COLUMNS = (
    Column("ece", "ECE", False, 100),
    Column("adaptive_ece", "adaptive ECE", False, 100),
    Column("brier", "Brier", False, 100),
    Column("nll", "NLL", False, 100),
)
ORIGIN = Column("how", "probability", words=True)
GUARANTEE_COLUMNS = (
    Column("threshold", "threshold", form=".6g"),
    Column("coverage", "coverage", scale=100),
    Column("test_coverage", "test coverage", scale=100),
    Column("test_risk", "test risk", scale=100),
    Column("test_kept", "target met on test"),
)
LOWEST = tuple(float(np.finfo(kind).min) for kind in (np.float16, np.float32, np.float64))  # thresholds that accept everything
NOTHING = Cell(np.nan)


def probabilities(all_stored: Iterable[StoredResults], level: float) -> pd.DataFrame:
    """One row a benchmark, seed and method but the oracle: `how` it became a probability, the metrics of CALIBRATION, their intervals."""
    rows = []
    for stored in all_stored:
        for method in stored.compared_methods():
            folder, row = stored.thresholds_folder(method), {"benchmark": stored.benchmark, "seed": stored.seed, "method": method}
            stored = read_json(folder / "calibration.json")
            low, high = np.nanquantile(np.load(folder / "replicates.npy"), [(1 - level) / 2, (1 + level) / 2], axis=0).astype(float)
            ends = {f"{metric}_low": low[at] for at, metric in enumerate(CALIBRATION_METRICS)}
            ends |= {f"{metric}_high": high[at] for at, metric in enumerate(CALIBRATION_METRICS)}
            rows.append({**row, "how": stored["how"], **stored["metrics"], **ends})
    return pd.DataFrame(rows)


def guarantees(all_stored: Iterable[StoredResults]) -> pd.DataFrame:
    """One row a benchmark, seed, method but the oracle and target risk: the guarantee, and what became of it on the test split."""
    rows = []
    for stored in all_stored:
        for method in stored.compared_methods():
            for one in read_json(stored.thresholds_folder(method) / "threshold.json")["thresholds"]:
                on_test = {f"test_{key}": value for key, value in one.pop("test").items()}
                rows.append({"benchmark": stored.benchmark, "seed": stored.seed, "method": method, **one, **on_test})
    return pd.DataFrame(rows)


def operating_points(frame: pd.DataFrame, intervals: pd.DataFrame) -> dict[str, list[Table]]:
    """BENCHMARK -> table of OPERATING_POINTS, from the arguments of `mean_over_seeds`."""
    tables = {}
    for benchmark, group in groups_of(frame[~frame["oracle"]], "benchmark"):
        rows = (
            method_row(row, (metric_cell(row, column.key) for column in OPERATING_POINTS))
            for row in mean_over_seeds(group, intervals).to_dict("records")
        )
        legend = (
            "Risk@80%: error rate of the 80 % of the predictions with the highest confidence.",
            "Coverage@1%, @5%: the largest fraction of most confident predictions of which at most 1 %, 5 % are errors.",
            "The labels of this very test set decide where to cut, so new data may have more errors. In percent.",
        )
        tables[benchmark] = [Table("Operating points", OPERATING_POINTS, tuple(rows), legend=legend)]
    return tables


def calibration_tables(calibrated: pd.DataFrame) -> dict[str, list[Table]]:
    """BENCHMARK -> table of `probabilities`, means over seeds."""
    tables = {}
    for benchmark, group in _by_benchmark(calibrated):
        methods = group.groupby("method", sort=False)
        means = methods[[name for name in map(str, group) if name.startswith(CALIBRATION_METRICS)]].mean()
        how = methods["how"].agg(lambda texts: "; ".join(dict.fromkeys(texts)))
        rows = []
        for key, row in means.iterrows():
            method = str(key)
            cells = (metric_cell(row, column.key) for column in PROBABILITY_COLUMNS)
            rows.append(Row(method, display_name(method), (Cell(text=how[method]), *cells)))
        legend = (
            "How far a score is from the probability that the prediction is correct: expected calibration error (ECE) in 15 bins of equal",
            "width, the same in bins of equal count (adaptive ECE), Brier score, and negative log-likelihood (NLL) in nats; all times 100.",
            "Probability says where it comes from: the score is one as it is; its sigmoid; or isotonic regression, Platt's sigmoid or a",
            "constant, fitted on the validation split. Resampling adds to an ECE: its interval can lie above it.",
            *(["Means over seeds, of the ends of the intervals, too."] if group["seed"].nunique() > 1 else []),
        )
        tables[benchmark] = [Table("Calibration", (ORIGIN, *PROBABILITY_COLUMNS), tuple(rows), legend=legend)]
    return tables


def guarantee_tables(guaranteed: pd.DataFrame) -> dict[str, list[Table]]:
    """BENCHMARK -> a table of `guarantees` for each target risk, means over seeds; the last one has the legend."""
    tables = {}
    for benchmark, group in _by_benchmark(guaranteed):
        drawn = [_at_risk(cast("float", risk), lines) for risk, lines in group.groupby("risk")]
        drawn[0] = replace(drawn[0], title="Thresholds with a guarantee")
        drawn[-1] = replace(drawn[-1], legend=_guarantee_legend(group))
        tables[benchmark] = drawn
    return tables


def rank_table(frame: pd.DataFrame) -> Table | None:
    """Mean rank of each method, 1 the best, over the benchmarks and seeds of a `comparison_frame`; the oracle is left out, and what a
    metric is undefined for. None where there is one benchmark and seed only."""
    frame = frame[~frame["oracle"]]
    blocks = frame.groupby(["benchmark", "seed"], sort=False).ngroups
    if blocks < 2:
        return None
    ranked = frame[["method"]].copy()
    for column in SHOWN:
        ranked[column.key] = frame.groupby(["benchmark", "seed"])[column.key].rank(ascending=not column.higher_is_better)
    means = ranked.groupby("method", sort=False).mean()
    means = means.loc[means[HEADLINE.key].sort_values(kind="stable").index]
    legend = [f"Mean rank among {len(means)} methods over {blocks} pairs of benchmark and seed; 1 is best, equal values share a mean rank."]
    if ranked.isna().any(axis=None):
        legend.append("Pairs where a metric is undefined are left out of its means.")
    columns = tuple(Column(column.key, column.title) for column in SHOWN)
    rows = (Row(str(method), display_name(str(method)), tuple(Cell(value) for value in row)) for method, row in means.iterrows())
    return Table("Ranks", columns, tuple(rows), legend=tuple(legend))


def _by_benchmark(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Nothing where the oracle is the only method."""
    return groups_of(frame, "benchmark") if len(frame) else ()


def _guarantee_legend(group: pd.DataFrame) -> tuple[str, ...]:
    units, samples, errors = (_range(group.groupby("seed")[name].first()) for name in ("units", "samples", "errors"))
    of_images, several = (group["units"] < group["samples"]).any(), group["seed"].nunique() > 1
    size = f"{units} images with {samples} labelled pixels" if of_images else f"{units} samples"
    legend = [
        "A prediction is accepted if its confidence is at least the threshold.",
        f"With probability {1 - group['delta'].iloc[0]:g}, at most the target's fraction of what is accepted is wrong, on new data like",
        f"the calibration split: for each method{', seed' if several else ''} and target alone, not for all of them at once.",
        f"The calibration split has {size}, of which {errors} are predicted incorrectly.",
        "Coverage: the fraction of the calibration split that is accepted; test coverage: of the test split;",
        "test risk: the error rate of what is accepted there; in percent. None: no threshold satisfies the guarantee.",
    ]
    if several:
        legend += [
            "Threshold: for how many seeds one satisfies it, as thresholds.csv has them; the numbers beside it are means over these.",
            "Target met on test: for how many of those that accept anything of the test split its risk is within the target.",
        ]
    else:
        legend.append("Target met on test: whether that is within the target. All, as a threshold: everything is accepted.")
    if of_images:
        legend.append("In coverage and risk every image weighs the same, whatever its number of labelled pixels.")
    return tuple(legend)


def _at_risk(risk: float, lines: pd.DataFrame) -> Table:
    if lines["threshold"].isna().all():
        return Table("", notes=(f"At most {100 * risk:g} % errors: no threshold satisfies the guarantee for any method.",))
    rows = (Row(method, display_name(method), _guarantee(seeds)) for method, seeds in groups_of(lines, "method"))
    return Table("", GUARANTEE_COLUMNS, tuple(rows), notes=(f"At most {100 * risk:g} % errors:",))


def _guarantee(seeds: pd.DataFrame) -> tuple[Cell, ...]:
    """The cells of GUARANTEE_COLUMNS of a method and a target, means over seeds."""
    feasible = seeds[seeds["threshold"].notna()]
    if feasible.empty:
        return Cell(text="none"), *[NOTHING] * 4
    numbers = (Cell(feasible[name].astype(float).mean()) for name in ("coverage", "test_coverage", "test_risk"))
    met = feasible["test_kept"].dropna().astype(bool)  # None where nothing is accepted, which neither meets nor misses a target
    if len(seeds) > 1:
        share = Cell(text=f"{met.sum()} of {len(met)}") if len(met) else NOTHING
        return Cell(text=f"{len(feasible)} of {len(seeds)}"), *numbers, share
    threshold = feasible["threshold"].iloc[0]
    outcome = NOTHING if met.empty else Cell(text="yes" if met.all() else "no")
    return Cell(text="all") if threshold in LOWEST else Cell(float(threshold)), *numbers, outcome


def _range(values: pd.Series) -> str:
    return f"{values.min():,}" if values.min() == values.max() else f"{values.min():,} to {values.max():,}"
