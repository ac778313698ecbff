"""A judgement as data for strict JSON: its form is documented in docs/own-predictions.md and numbered by FORMAT_VERSION."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from confidnet_core.comparison.lines import row_dictionaries

if TYPE_CHECKING:
    from confidnet_core.judging.judgement import Judgement

FORMAT_VERSION = 1


def judgement_to_json(judgement: "Judgement") -> dict[str, Any]:
    """Return a judgement as nested dictionaries and lists of text, numbers, booleans and None, without NaN and infinity."""
    results, verdict = judgement.results, judgement.comparison.verdicts[judgement.results.benchmark]
    calibration = {row.pop("method"): row for row in row_dictionaries(judgement.calibration)}
    return _strict(
        {
            "format": FORMAT_VERSION,
            "name": results.benchmark,
            "samples": judgement.samples,
            "errors": judgement.errors,
            "units": int(judgement.comparison.evaluation_rows["units"].iloc[0]),
            "too_little": judgement.too_little,
            "verdict": verdict.summary_sentence,
            "sentences": list(verdict.further_sentences),
            "metrics": {method: results.evaluation(method).metrics for method in results.methods},
            "intervals": {method: _intervals(row) for method, row in judgement.table.to_dict("index").items()},
            "oracles": list(judgement.settings.oracles),
            "significance": row_dictionaries(judgement.significance),
            "calibration": calibration,
            "thresholds": [
                {"method": method, **{key: value for key, value in guarantee.items() if key != "served"}}
                for method in results.compared_methods()
                for guarantee in results.guarantees(method)
            ],
            "left_out": list(judgement.left_out),
            "settings": {
                "against": list(judgement.settings.against),
                "risks": list(judgement.settings.risks),
                "delta": judgement.settings.delta,
                "resamples": judgement.settings.resamples,
                "level": judgement.settings.level,
                "seed": judgement.settings.seed,
            },
        }
    )


def _intervals(row: dict[Any, Any]) -> dict[str, list[float]]:
    """Return {metric: [low, high]} of one score, both None where it has no interval."""
    return {
        str(column).removesuffix("_low"): [value, row[f"{str(column).removesuffix('_low')}_high"]]
        for column, value in row.items()
        if str(column).endswith("_low")
    }


def _strict(content: Any) -> Any:
    """Return nested data with NumPy's numbers as Python's, and NaN and infinity as None."""
    if isinstance(content, dict):
        return {str(key): _strict(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_strict(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    return None if isinstance(content, float) and not math.isfinite(content) else content
