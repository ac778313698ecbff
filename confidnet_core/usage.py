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
    units, errors = (_range(group.groupby("seed")[name].first()) for name in ("units", "errors"))
    legend = (
        f"A prediction is accepted if its confidence is at least the threshold. With probability {1 - group['delta'].iloc[0]:g}, for each "
        "method and target alone, at most the target's share of the accepted predictions is wrong, on new data like the calibration "
        f"split. That has {units} samples, or images for segmentation, with {errors} errors. Coverage: which share of it is accepted; then "
        "the same of the test split, the risk there, and how often that was within the target; in percent. None: no threshold can be "
        "promised. For segmentation every image weighs the same."
    )
    return "\n\n".join(["### Thresholds with a guarantee", *(_at_risk(*each) for each in group.groupby("risk")), legend])


def _at_risk(risk: float, lines: pd.DataFrame) -> str:
    if lines["threshold"].isna().all():
        return f"At most {100 * risk:g} % errors: no threshold can be promised, of no method."
    rows = [["method", "threshold", "coverage", "test coverage", "test risk", "kept"]]
    rows += [[method, *_guarantee(seeds)] for method, seeds in lines.groupby("method", sort=False)]
    return "\n\n".join([f"At most {100 * risk:g} % errors:", "\n".join(aligned(rows))])


def _guarantee(seeds: pd.DataFrame) -> list[str]:
    """threshold, coverage, coverage and risk on the test split, kept; of a method and a target, means over seeds."""
    feasible = seeds[seeds["threshold"].notna()]
    if feasible.empty:
        return ["none", *[UNDEFINED] * 4]
    threshold = f"{feasible['threshold'].iloc[0]:.6g}" if len(seeds) == 1 else f"{len(feasible)} of {len(seeds)}"
    numbers = (shown(100 * feasible[name].astype(float).mean()) for name in ("coverage", "test_coverage", "test_risk"))
    return [threshold, *numbers, f"{int(feasible['test_kept'].eq(True).sum())} of {len(feasible)}"]


def _range(values: pd.Series) -> str:
    return f"{values.min()}" if values.min() == values.max() else f"{values.min()} to {values.max()}"
