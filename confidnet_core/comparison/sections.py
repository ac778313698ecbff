"""What an engineer asks of a comparison: error rates at working points, scores as probabilities, thresholds with a guarantee, ranks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from confidnet_core.comparison.table import COLUMNS, UNDEFINED, WORKING_POINTS, Column, aligned, mean_over_seeds, shown, spans, values
from confidnet_core.evaluation.stored import Place
from confidnet_core.files import read_json
from confidnet_core.metrics.calibration import CALIBRATION

PROBABILITY_COLUMNS = (
    Column("ece", "ECE", False, 100),
    Column("adaptive_ece", "adaptive ECE", False, 100),
    Column("brier", "Brier", False, 100),
    Column("nll", "NLL", False, 100),
)
LOWEST = tuple(float(np.finfo(kind).min) for kind in (np.float16, np.float32, np.float64))  # thresholds that accept everything
RANKED = tuple(column for column in COLUMNS if column.metric in ("fpr_at_95_tpr", "aupr_error", "auroc", "aurc"))


def probabilities(everywhere: Iterable[Place], level: float) -> pd.DataFrame:
    """One row a benchmark, seed and method but the oracle: `how` it became a probability, the metrics of CALIBRATION, their intervals."""
    rows = []
    for place in everywhere:
        for method in place.results():
            folder, row = place.operating(method), {"benchmark": place.benchmark, "seed": place.seed, "method": method}
            found = read_json(folder / "calibration.json")
            low, high = np.nanquantile(np.load(folder / "replicates.npy"), [(1 - level) / 2, (1 + level) / 2], axis=0).astype(float)
            ends = {f"{metric}_low": low[at] for at, metric in enumerate(CALIBRATION)}
            ends |= {f"{metric}_high": high[at] for at, metric in enumerate(CALIBRATION)}
            rows.append({**row, "how": found["how"], **found["metrics"], **ends})
    return pd.DataFrame(rows)


def promises(everywhere: Iterable[Place]) -> pd.DataFrame:
    """One row a benchmark, seed, method but the oracle and target risk: the guarantee, and what became of it on the test split."""
    rows = []
    for place in everywhere:
        for method in place.results():
            for one in read_json(place.operating(method) / "threshold.json")["thresholds"]:
                on_test = {f"test_{key}": value for key, value in one.pop("test").items()}
                rows.append({"benchmark": place.benchmark, "seed": place.seed, "method": method, **one, **on_test})
    return pd.DataFrame(rows)


def working_points(frame: pd.DataFrame, intervals: pd.DataFrame) -> dict[str, str]:
    """BENCHMARK -> Markdown of WORKING_POINTS, from the arguments of `mean_over_seeds`."""
    texts = {}
    for benchmark, group in frame[~frame["oracle"]].groupby("benchmark", sort=False):
        means = mean_over_seeds(group, intervals)
        legend = (
            "Risk@80%: error rate of the surest 80 % of the predictions. Coverage@1%, @5%: the largest share of surest predictions of "
            "which at most 1 %, 5 % are wrong. The labels of this very test set say where to cut, so that new data may have more errors. "
            "In percent."
        )
        texts[benchmark] = "\n\n".join(["### At working points", _table(means, WORKING_POINTS), legend])
    return texts


def as_probabilities(found: pd.DataFrame) -> dict[str, str]:
    """BENCHMARK -> Markdown of `probabilities`, means over seeds."""
    texts = {}
    for benchmark, group in _by_benchmark(found):
        means = group.groupby("method", sort=False)[[name for name in group if name.startswith(CALIBRATION)]].mean().reset_index()
        how = group.groupby("method", sort=False)["how"].agg(lambda texts: "; ".join(dict.fromkeys(texts))).reset_index(drop=True)
        legend = (
            "How far a score is from the probability that the prediction is right: expected calibration error (ECE) in 15 bins of equal "
            "width, the same in bins of equal count (adaptive ECE), Brier score, and negative log-likelihood (NLL) in nats; all times 100. "
            "The second column says where the probability comes from: the score is one as it is; its sigmoid; or isotonic regression, "
            "Platt's sigmoid or a constant, learned on the validation split. Resampling adds to an ECE: its interval can lie above it."
            + (" Means over seeds, of the ends of the intervals, too." if group["seed"].nunique() > 1 else "")
        )
        texts[benchmark] = "\n\n".join(["### As probabilities of being right", _table(means, PROBABILITY_COLUMNS, how.tolist()), legend])
    return texts


def with_guarantee(found: pd.DataFrame) -> dict[str, str]:
    """BENCHMARK -> Markdown of `promises`, means over seeds."""
    return {benchmark: _guarantees(group) for benchmark, group in _by_benchmark(found)}


def ranks(frame: pd.DataFrame) -> str:
    """Markdown: mean rank of each method, 1 the best, over the benchmarks and seeds of a `table`; the oracle is left out, and what a
    metric is undefined for. Nothing where there is one benchmark and seed only."""
    frame = frame[~frame["oracle"]]
    blocks = frame.groupby(["benchmark", "seed"], sort=False).ngroups
    if blocks < 2:
        return ""
    ranked = frame[["method"]].copy()
    for column in RANKED:
        ranked[column.metric] = frame.groupby(["benchmark", "seed"])[column.metric].rank(ascending=not column.higher_is_better)
    means = ranked.groupby("method", sort=False).mean()
    means = means.loc[means["aupr_error"].sort_values(kind="stable").index]
    rows = [["method", *(column.title for column in RANKED)], *([method, *map(shown, row)] for method, row in means.iterrows())]
    legend = f"Mean rank among {len(means)} methods over {blocks} pairs of benchmark and seed; 1 is best, equal values share a mean rank."
    if ranked.isna().any(axis=None):
        legend += " Pairs where a metric is undefined are left out of its means."
    return "\n\n".join(["## Ranks", "\n".join(aligned(rows)), legend]) + "\n"


def _table(means: pd.DataFrame, columns: tuple[Column, ...], beside: list[str] | None = None) -> str:
    cells = [["method", *means["method"]], *([["probability", *beside]] if beside else [])]
    for column in columns:
        cells.append([column.heading, *map(str.__add__, values(means, column), spans(means, column))])
    return "\n".join(aligned([list(row) for row in zip(*cells, strict=True)], left=2 if beside else 1))


def _by_benchmark(found: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Nothing where the oracle is the only method."""
    return found.groupby("benchmark", sort=False) if len(found) else ()


def _guarantees(group: pd.DataFrame) -> str:
    units, samples, errors = (_range(group.groupby("seed")[name].first()) for name in ("units", "samples", "errors"))
    of_images, several = (group["units"] < group["samples"]).any(), group["seed"].nunique() > 1
    size = f"{units} images with {samples} labelled pixels" if of_images else f"{units} samples"
    legend = [
        "A prediction is accepted if its confidence is at least the threshold.",
        f"With probability {1 - group['delta'].iloc[0]:g}, at most the target's share of what is accepted is wrong, on new data like the",
        f"calibration split: for each method{', seed' if several else ''} and target alone, not for all of them at once.",
        f"The calibration split has {size}, of which {errors} are predicted wrongly.",
        "Coverage: which share of the calibration split is accepted; test coverage: of the test split;",
        "test risk: which share of what is accepted there is wrong; in percent. None: no threshold can be promised.",
    ]
    if several:
        legend += [
            "Threshold: for how many seeds one can be promised, as thresholds.csv has them; the numbers beside it are means over these.",
            "Kept: for how many of those that accept anything of the test split its risk is within the target.",
        ]
    else:
        legend.append("Kept: whether that is within the target. All, as a threshold: everything is accepted.")
    if of_images:
        legend.append("In coverage and risk every image weighs the same, whatever its number of labelled pixels.")
    return "\n\n".join(["### Thresholds with a guarantee", *(_at_risk(*each) for each in group.groupby("risk")), " ".join(legend)])


def _at_risk(risk: float, lines: pd.DataFrame) -> str:
    if lines["threshold"].isna().all():
        return f"At most {100 * risk:g} % errors: no threshold can be promised for any method."
    rows = [["method", "threshold", "coverage", "test coverage", "test risk", "kept"]]
    rows += [[method, *_guarantee(seeds)] for method, seeds in lines.groupby("method", sort=False)]
    return "\n\n".join([f"At most {100 * risk:g} % errors:", "\n".join(aligned(rows))])


def _guarantee(seeds: pd.DataFrame) -> list[str]:
    """threshold, coverage, coverage and risk on the test split, kept; of a method and a target, means over seeds."""
    feasible = seeds[seeds["threshold"].notna()]
    if feasible.empty:
        return ["none", *[UNDEFINED] * 4]
    numbers = [shown(100 * feasible[name].astype(float).mean()) for name in ("coverage", "test_coverage", "test_risk")]
    kept = feasible["test_kept"].dropna().astype(bool)  # None where nothing is accepted, which keeps and breaks nothing
    if len(seeds) > 1:
        return [f"{len(feasible)} of {len(seeds)}", *numbers, f"{kept.sum()} of {len(kept)}" if len(kept) else UNDEFINED]
    threshold = feasible["threshold"].iloc[0]
    outcome = UNDEFINED if kept.empty else "yes" if kept.all() else "no"
    return ["all" if threshold in LOWEST else f"{threshold:.6g}", *numbers, outcome]


def _range(values: pd.Series) -> str:
    return f"{values.min():,}" if values.min() == values.max() else f"{values.min():,} to {values.max():,}"
