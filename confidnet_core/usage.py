"""What an engineer asks of a comparison: error rates at working points, scores as probabilities, thresholds with a guarantee, ranks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from confidnet_core.comparison import COLUMNS, UNDEFINED, WORKING_POINTS, Column, aligned, mean_over_seeds, shown, spans, values
from confidnet_core.files import read_json
from confidnet_core.metrics.calibration import CALIBRATION
from confidnet_core.places import Place

PROBABILITY_COLUMNS = (
    Column("ece", "ECE", False, 100),
    Column("adaptive_ece", "adaptive ECE", False, 100),
    Column("brier", "Brier", False, 100),
    Column("nll", "NLL", False, 100),
)
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
            "Risk@80%: error rate of the surest 80 % of the predictions. Coverage@1%, @5%: the largest share of surest predictions with "
            "that error rate on this very test set; what can be promised for new data is less. In percent."
        )
        texts[benchmark] = "\n\n".join(["### At working points", _table(means, WORKING_POINTS), legend])
    return texts


def as_probabilities(found: pd.DataFrame) -> dict[str, str]:
    """BENCHMARK -> Markdown of `probabilities`, means over seeds."""
    texts = {}
    for benchmark, group in found.groupby("benchmark", sort=False):
        means = group.groupby("method", sort=False)[[name for name in group if name.startswith(CALIBRATION)]].mean().reset_index()
        how = group.groupby("method", sort=False)["how"].agg(lambda texts: "; ".join(dict.fromkeys(texts))).reset_index(drop=True)
        legend = (
            "How well a score is the probability that the prediction is right: expected calibration error in 15 bins of equal width and of "
            "equal count, Brier score and negative log-likelihood in nats, times 100; lower is better. The second column says where the "
            "probability comes from. Resampling makes an ECE larger: its interval can lie above it."
        )
        texts[benchmark] = "\n\n".join(["### As probabilities of being right", _table(means, PROBABILITY_COLUMNS, how.tolist()), legend])
    return texts


def with_guarantee(found: pd.DataFrame) -> dict[str, str]:
    """BENCHMARK -> Markdown of `promises`, means over seeds."""
    return {benchmark: _guarantees(group) for benchmark, group in found.groupby("benchmark", sort=False)}


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
    legend = f"Mean rank among {len(means)} methods over {blocks} benchmarks and seeds; 1 is best, equal values share their mean rank."
    return "\n\n".join(["## Ranks", "\n".join(aligned(rows)), legend]) + "\n"


def _table(means: pd.DataFrame, columns: tuple[Column, ...], beside: list[str] | None = None) -> str:
    cells = [["method", *means["method"]], *([["probability", *beside]] if beside else [])]
    for column in columns:
        cells.append([column.heading, *map(str.__add__, values(means, column), spans(means, column))])
    return "\n".join(aligned([list(row) for row in zip(*cells, strict=True)], left=2 if beside else 1))


def _guarantees(group: pd.DataFrame) -> str:
    rows = [["risk", "method", "threshold", "coverage", "test coverage", "test risk", "kept"]]
    for (risk, method), seeds in group.groupby(["risk", "method"], sort=False):
        feasible = seeds[seeds["threshold"].notna()]
        threshold = shown_number(feasible["threshold"].mean()) if len(seeds) == 1 and len(feasible) else ("" if len(feasible) else "none")
        numbers = (shown(100 * seeds[name].astype(float).mean()) for name in ("coverage", "test_coverage", "test_risk"))
        kept = f"{int(feasible['test_kept'].fillna(False).sum())} of {len(feasible)}" if len(feasible) else UNDEFINED
        rows.append([f"{100 * risk:g} %", method, threshold, *numbers, kept])
    one = group.iloc[0]
    unit = f"{one['units']} independent units with {group['errors'].iloc[0]} errors" if len(group) else ""
    legend = (
        f"With probability {1 - one['delta']:g}, for each line alone, the error rate among accepted predictions (confidence at or above "
        f"the threshold) is at most the risk on new data like the calibration split, which has {unit}. Coverage is that of the calibration "
        "split, both in percent; none: no threshold can be promised. For segmentation every image weighs the same."
    )
    return "\n\n".join(["### Thresholds with a guarantee", "\n".join(aligned(rows, left=2)), legend])


def shown_number(value: float) -> str:
    """Six significant digits."""
    return UNDEFINED if np.isnan(value) else f"{value:.6g}"
