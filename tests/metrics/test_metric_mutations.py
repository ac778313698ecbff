"""The tests of the metrics are worth something: each of these faults, put into their code, makes a metric differ from its definition."""

import sys
from types import ModuleType

import numpy as np
import pytest
from metric_definitions import LARGE, cases, disagreements, errors_by_linearity, neighbours_of_zero
from project_code import ROOT

from confidnet_core.metrics import METRICS

FILES = ("_ranking/samples", "_ranking/risk", "_ranking/counts", "failure")  # each imports those before it
SMALL = [case for n in range(1, 6) for case in cases(n)]

# metric that changes -> (file, code, what stands there instead)
MUTATIONS = {
    "accuracy": [
        ("failure", "right / total,", "wrong / total,"),
        ("failure", "(1.0, None, None, 1.0,", "(0.0, None, None, 1.0,"),
        ("failure", "int(np.count_nonzero(correct))", "int(np.count_nonzero(confidence))"),
    ],
    "fpr_at_95_tpr": [
        ("failure", "20 * right_here[-1] >= 19 * right", "20 * right_here[-1] > 19 * right"),
        ("failure", "np.argmax(20 * right_here >= 19 * right)", "np.argmax(20 * right_here > 19 * right)"),
        ("failure", "np.argmax(20 * right_here >= 19 * right)", "np.argmax(20 * right_here >= 18 * right)"),
        ("failure", "np.argmax(20 * right_here >= 19 * right)", "np.argmax(19 * right_here >= 19 * right)"),
        ("failure", "if math.isnan(false_positives) and", "if"),
        ("failure", "int(wrong_here[np.argmax", "int(kept_here[np.argmax"),
        ("failure", "false_positives / wrong", "false_positives / total"),
    ],
    "aupr_error": [
        ("failure", "(wrong - wrong_above) / (total - above)", "(wrong - wrong_above) / total"),
        ("failure", "(wrong - wrong_above) / (total - above)", "wrong / (total - above)"),
        ("failure", "error_count * ((wrong - wrong_above)", "sample_count * ((wrong - wrong_above)"),
        ("failure", "wrong_here[has_error] - error_count", "wrong_here[has_error]"),
        ("failure", "precision_of_errors += float", "precision_of_errors = float"),
        ("failure", "precision_of_errors / wrong", "precision_of_errors / right"),
        ("failure", "(0.0, None, 1.0, None,", "(0.0, None, None, None,"),
    ],
    "aupr_success": [
        ("failure", "success_count * (right_here / kept_here)", "sample_count * (right_here / kept_here)"),
        ("failure", "success_count * (right_here / kept_here)", "success_count * ((right_here - success_count) / kept_here)"),
        ("failure", "success_count * (right_here / kept_here)", "success_count * (right_here / total)"),
        ("failure", "precision_of_successes += float", "precision_of_successes = float"),
        ("failure", "precision_of_successes / right", "precision_of_successes / total"),
        ("failure", "(1.0, None, None, 1.0,", "(1.0, None, None, None,"),
        ("failure", "int(kept_here[-1])", "int(kept_here[-1]) + 1"),
        ("_ranking/counts", "error_counts[block][held]", "np.minimum(error_counts[block][held], 1)"),
    ],
    "auroc": [
        (
            "failure",
            "error_count * (2 * (right - right_here[has_error]) + success_count)",
            "error_count * (2 * (right - right_here[has_error]))",
        ),
        ("failure", "(right - right_here[has_error]) + success_count", "(right - right_here[has_error]) + 2 * success_count"),
        ("failure", "discordant += int", "discordant = int"),
        ("failure", "2 * right * wrong - discordant", "right * wrong - discordant"),
        ("failure", "wrong_kept + np.cumsum(error_count)", "np.cumsum(error_count)"),
        (
            "_ranking/counts",
            "error_count[np.searchsorted(value, error_value)] = count",
            "error_count[np.searchsorted(value, error_value)] = 1",
        ),
        ("_ranking/counts", "len(ranked) > 0, ranked[1:] != ranked[:-1]", "len(ranked) > 0, ranked[1:] >= ranked[:-1]"),
        ("_ranking/counts", "np.searchsorted(errors, first)", 'np.searchsorted(errors, first, "right")'),
        ("_ranking/counts", "error_count[::-1]", "error_count"),
        ("_ranking/counts", "np.sort(confidence[~correct])", "np.sort(confidence[correct])"),
        ("_ranking/counts", "np.flatnonzero(sample_counts[block])[::-1]", "np.flatnonzero(sample_counts[block])"),
        ("_ranking/counts", "place[~correct[block]]", "place[correct[block]]"),
        ("_ranking/counts", "error_counts[block][held]", "error_counts[block][held[::-1]]"),
        ("_ranking/counts", "(sign & 0x7FFFFFFF)) - sign", "(sign & 0x7FFFFFFF))"),
        ("_ranking/counts", "bits >> 31", "bits >> 30"),
        ("failure", "(1.0, None, None, 1.0, None,", "(1.0, None, None, 1.0, 1.0,"),
    ],
    "aurc": [
        ("failure", "min(risk / total, 1.0)", "min(risk / right, 1.0)"),
        ("failure", "risk += float", "risk = float"),
        ("failure", "mean_risk_of_an_error(above, sample_count, total)", "mean_risk_of_an_error(above, error_count, total)"),
        ("failure", "mean_risk_of_an_error(above, sample_count, total)", "mean_risk_of_an_error(above, sample_count, total - 1)"),
        ("failure", "kept_here[has_error] - sample_count", "kept_here[has_error]"),
        ("_ranking/risk", "_harmonic_between(above + tied, np.atleast_1d(total))", "_harmonic_between(above, np.atleast_1d(total))"),
        ("_ranking/risk", "1 - above / tied *", "1 - (above + 1) / tied *"),
        ("_ranking/risk", "centre = above + (tied + 1) / 2", "centre = above + tied / 2"),
        ("_ranking/risk", "tied * 256 < centre", "tied > 0"),
        ("_ranking/risk", "(width - unit) / 12", "(width + unit) / 12"),
        ("_ranking/risk", "(3 * width - 7 * unit) / 240", "(3 * width + 7 * unit) / 240"),
        ("_ranking/risk", "above * inverse * (second + fourth)", "above * inverse * second"),
        ("_ranking/risk", "for k in range(1, n + 1)", "for k in range(1, n)"),
        ("_ranking/risk", "inverse / 2 - square", "inverse / 2 + square"),
        ("_ranking/risk", "square * (1 / 12 - square", "square * (1 / 12 + square"),
        ("_ranking/risk", "_TABLE[np.minimum(high, end)] - ", "_TABLE[np.minimum(high, end)] - 0 * "),
    ],
    "e_aurc": [
        ("failure", "aurc - optimum, 0.0", "aurc, 0.0"),
        ("failure", "if discordant else 0.0", "if discordant > 1 else 0.0"),
        ("failure", "np.array([right]), np.array([wrong])", "np.array([wrong]), np.array([right])"),
        ("failure", "optimum = wrong * float", "optimum = right * float"),
    ],
    "augrc": [
        ("failure", "(discordant + wrong**2)", "(discordant - wrong**2)"),
        ("failure", "(discordant + wrong**2)", "(discordant + wrong)"),
        ("failure", "(2 * total**2)", "(2 * total * right)"),
        ("failure", "1.0, 0.0, 0.5,", "1.0, 0.0, 1.0,"),
    ],
    "risk_at_80_coverage": [
        ("failure", "-(-4 * total // 5)", "4 * total // 5"),
        ("failure", "-(-4 * total // 5)", "-(-3 * total // 4)"),
        ("failure", "-(-4 * total // 5)", "total"),
        ("_ranking/risk", "wrong_tied * ((kept - above) / tied)", "wrong_tied"),
        ("_ranking/risk", "wrong_tied * ((kept - above) / tied)", "wrong_tied * (kept / tied)"),
        ("_ranking/risk", "(wrong_above + wrong_tied", "(wrong_tied"),
        ("_ranking/risk", "ranked[len(ranked) - kept]", "ranked[len(ranked) - kept - 1]"),
        ("_ranking/samples", "np.searchsorted(ranked, value, side)", 'np.searchsorted(ranked, value, "left")'),
        ("failure", "kept < surest <= kept_here[-1]", "kept < surest < kept_here[-1]"),
        ("failure", "kept < surest <= kept_here[-1]", "surest <= kept_here[-1]"),
        ("failure", "np.searchsorted(kept_here, surest)", "np.searchsorted(kept_here, surest - 1)"),
        ("failure", "kept_here[last] - tied", "kept_here[last]"),
        ("failure", "wrong_here[last] - wrong_tied", "wrong_here[last]"),
    ],
    "coverage_at_1_risk": [
        ("_ranking/risk", "(0.01, 0.05)", "(0.0101, 0.05)"),
        ("_ranking/risk", "np.maximum(above, 1) <= risk", "np.maximum(above, 1) < risk"),
        ("_ranking/risk", "wrong_above / np.maximum(above, 1)", "wrong_above / np.maximum(above + 1, 1)"),
        ("failure", "max(most, int(most_kept(above, wrong_above, target)))", "int(most_kept(above, wrong_above, target))"),
        ("failure", "int(most_kept(above, wrong_above, target))", "int(most_kept(above, wrong_above + error_count, target))"),
    ],
    "coverage_at_5_risk": [
        ("_ranking/risk", "(0.01, 0.05)", "(0.01, 0.051)"),
        ("_ranking/risk", "(0.01, 0.05)", "(0.01, 0.049)"),
        ("failure", "total if wrong / total <= target else 0", "0"),
        ("_ranking/risk", "np.where(reached, above, 0).max(", "np.where(reached, above, above.max()).min("),
        ("failure", "most / total for most", "most / right for most"),
    ],
}


def mutated(file: str, code: str, instead: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """failure.py as a module of its own, with a replacement in it or in a file that it imports."""
    for name in FILES:
        path = ROOT / "confidnet_core" / "metrics" / f"{name}.py"
        source = path.read_text(encoding="utf-8")
        if name == file:
            if source.count(code) != 1:
                pytest.fail(f"{code!r} stands {source.count(code)} times in {name}.py; write the mutation anew, so that it is there once")
            source = source.replace(code, instead)
        module = ModuleType(f"confidnet_core.metrics.{name}".replace("/", "."))
        exec(compile(source, path, "exec"), vars(module))
        monkeypatch.setitem(sys.modules, module.__name__, module)  # for the next of the files
    return module


def noticed(module: ModuleType, *metrics: str) -> bool:
    """Whether one of the metrics differs from its definition on a small or large case, sorted or counted, in one block or several."""

    def of_neighbours(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float | None]:
        return module.failure_metrics(neighbours_of_zero(confidence), correct)

    def of_curve(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float | None]:
        risk = module.risk_coverage_curve(confidence, correct, points=len(correct))[1]
        return {**module.failure_metrics(confidence, correct), "risk_at_80_coverage": risk[-(-4 * len(correct) // 5) - 1]}

    counts, large = sys.modules["confidnet_core.metrics._ranking.counts"], list(LARGE.values())
    for block, *checked in (
        (counts._BLOCK, SMALL),
        (counts._BLOCK, large, errors_by_linearity),
        (2, SMALL),
        (4, large, errors_by_linearity),
    ):
        counts._BLOCK = block
        for function in (module.failure_metrics, of_neighbours, of_curve):
            if any(metric in metrics for metric, *_ in disagreements(function, *checked)):
                return True
    return False


def test_without_a_mutation_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch):
    module = mutated("failure", "right / total,", "right / total,", monkeypatch)
    assert not noticed(module, *METRICS)


def test_every_metric_has_mutations():
    assert set(MUTATIONS) == set(METRICS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("metric", "file", "code", "instead"), [(metric, *mutation) for metric, mutations in MUTATIONS.items() for mutation in mutations]
)
def test_a_mutation_is_noticed(metric: str, file: str, code: str, instead: str, monkeypatch: pytest.MonkeyPatch):
    assert noticed(mutated(file, code, instead, monkeypatch), metric), f"{metric} stays as defined with {instead!r} for {code!r}"
