"""Mutation tests of the failure metrics: each of these faults in their code makes a metric differ from its definition."""

import sys
from types import ModuleType

import numpy as np
import pytest
from metric_definitions import LARGE, cases, disagreements, errors_by_linearity, neighbours_of_zero
from project_code import ROOT

from confidnet_core.metrics import METRICS

pytestmark = pytest.mark.slow  # they hold the tests of the metrics to account

MUTATED_FILES = ("_ranking/samples", "_ranking/risk", "_ranking/counts", "failure")  # each imports those before it
SMALL_CASES = [case for n in range(1, 6) for case in cases(n)]

# metric that changes -> (file, code, what stands there instead)
MUTATIONS = {
    "accuracy": [
        ("failure", "n_correct / n_samples,", "n_errors / n_samples,"),
        ("failure", "(1.0, None, None, 1.0,", "(0.0, None, None, 1.0,"),
        ("failure", "int(np.count_nonzero(correct))", "int(np.count_nonzero(confidence))"),
    ],
    "fpr_at_95_tpr": [
        ("failure", "20 * cumulative_correct[-1] >= 19 * n_correct", "20 * cumulative_correct[-1] > 19 * n_correct"),
        ("failure", "np.argmax(20 * cumulative_correct >= 19 * n_correct)", "np.argmax(20 * cumulative_correct > 19 * n_correct)"),
        ("failure", "np.argmax(20 * cumulative_correct >= 19 * n_correct)", "np.argmax(20 * cumulative_correct >= 18 * n_correct)"),
        ("failure", "np.argmax(20 * cumulative_correct >= 19 * n_correct)", "np.argmax(19 * cumulative_correct >= 19 * n_correct)"),
        ("failure", "if math.isnan(false_positives) and", "if"),
        ("failure", "int(cumulative_errors[np.argmax", "int(cumulative_accepted[np.argmax"),
        ("failure", "false_positives / n_errors", "false_positives / n_samples"),
    ],
    "aupr_error": [
        ("failure", "(n_errors - errors_above) / (n_samples - samples_above)", "(n_errors - errors_above) / n_samples"),
        ("failure", "(n_errors - errors_above) / (n_samples - samples_above)", "n_errors / (n_samples - samples_above)"),
        ("failure", "error_counts * ((n_errors - errors_above)", "sample_counts * ((n_errors - errors_above)"),
        ("failure", "cumulative_errors[indices_with_error] - error_counts", "cumulative_errors[indices_with_error]"),
        ("failure", "error_precision_sum += float", "error_precision_sum = float"),
        ("failure", "error_precision_sum / n_errors", "error_precision_sum / n_correct"),
        ("failure", "(0.0, None, 1.0, None,", "(0.0, None, None, None,"),
    ],
    "aupr_success": [
        ("failure", "success_counts * (cumulative_correct", "sample_counts * (cumulative_correct"),
        ("failure", "(cumulative_correct / cumulative_accepted)", "((cumulative_correct - success_counts) / cumulative_accepted)"),
        ("failure", "success_counts * (cumulative_correct / cumulative_accepted)", "success_counts * (cumulative_correct / n_samples)"),
        ("failure", "success_precision_sum += float", "success_precision_sum = float"),
        ("failure", "success_precision_sum / n_correct", "success_precision_sum / n_samples"),
        ("failure", "(1.0, None, None, 1.0,", "(1.0, None, None, None,"),
        ("failure", "int(cumulative_accepted[-1])", "int(cumulative_accepted[-1]) + 1"),
        (
            "_ranking/counts",
            "error_counts[block_slice][occurring_float_keys]",
            "np.minimum(error_counts[block_slice][occurring_float_keys], 1)",
        ),
    ],
    "auroc": [
        (
            "failure",
            "error_counts * (2 * (n_correct - cumulative_correct[indices_with_error]) + success_counts)",
            "error_counts * (2 * (n_correct - cumulative_correct[indices_with_error]))",
        ),
        (
            "failure",
            "(n_correct - cumulative_correct[indices_with_error]) + success_counts",
            "(n_correct - cumulative_correct[indices_with_error]) + 2 * success_counts",
        ),
        ("failure", "discordant_pairs += int", "discordant_pairs = int"),
        ("failure", "2 * n_correct * n_errors - discordant_pairs", "n_correct * n_errors - discordant_pairs"),
        ("failure", "errors_accepted + np.cumsum(error_counts)", "np.cumsum(error_counts)"),
        (
            "_ranking/counts",
            "error_counts[np.searchsorted(distinct_confidences, distinct_error_confidences)] = errors_per_confidence",
            "error_counts[np.searchsorted(distinct_confidences, distinct_error_confidences)] = 1",
        ),
        (
            "_ranking/counts",
            "len(sorted_values) > 0, sorted_values[1:] != sorted_values[:-1]",
            "len(sorted_values) > 0, sorted_values[1:] >= sorted_values[:-1]",
        ),
        (
            "_ranking/counts",
            "np.searchsorted(sorted_error_confidence, block_start_confidences)",
            'np.searchsorted(sorted_error_confidence, block_start_confidences, "right")',
        ),
        ("_ranking/counts", "error_counts[::-1]", "error_counts"),
        ("_ranking/counts", "np.sort(confidence[~correct])", "np.sort(confidence[correct])"),
        ("_ranking/counts", "np.flatnonzero(sample_counts[block_slice])[::-1]", "np.flatnonzero(sample_counts[block_slice])"),
        ("_ranking/counts", "sample_float_keys[~correct[block_slice]]", "sample_float_keys[correct[block_slice]]"),
        ("_ranking/counts", "error_counts[block_slice][occurring_float_keys]", "error_counts[block_slice][occurring_float_keys[::-1]]"),
        ("_ranking/counts", "(sign_mask & 0x7FFFFFFF)) - sign_mask", "(sign_mask & 0x7FFFFFFF))"),
        ("_ranking/counts", "float_bits >> 31", "float_bits >> 30"),
        ("failure", "(1.0, None, None, 1.0, None,", "(1.0, None, None, 1.0, 1.0,"),
    ],
    "aurc": [
        ("failure", "min(risk_sum / n_samples, 1.0)", "min(risk_sum / n_correct, 1.0)"),
        ("failure", "risk_sum += float", "risk_sum = float"),
        (
            "failure",
            "expected_risk_contribution(samples_above, sample_counts, n_samples)",
            "expected_risk_contribution(samples_above, error_counts, n_samples)",
        ),
        (
            "failure",
            "expected_risk_contribution(samples_above, sample_counts, n_samples)",
            "expected_risk_contribution(samples_above, sample_counts, n_samples - 1)",
        ),
        ("failure", "cumulative_accepted[indices_with_error] - sample_counts", "cumulative_accepted[indices_with_error]"),
        ("_ranking/risk", "(samples_above + samples_tied, np.atleast_1d(sample_count))", "(samples_above, np.atleast_1d(sample_count))"),
        ("_ranking/risk", "1 - samples_above / samples_tied *", "1 - (samples_above + 1) / samples_tied *"),
        ("_ranking/risk", "mean_position = samples_above + (samples_tied + 1) / 2", "mean_position = samples_above + samples_tied / 2"),
        ("_ranking/risk", "samples_tied * 256 < mean_position", "samples_tied > 0"),
        (
            "_ranking/risk",
            "(squared_relative_width - squared_inverse_position) / 12",
            "(squared_relative_width + squared_inverse_position) / 12",
        ),
        (
            "_ranking/risk",
            "(3 * squared_relative_width - 7 * squared_inverse_position) / 240",
            "(3 * squared_relative_width + 7 * squared_inverse_position) / 240",
        ),
        ("_ranking/risk", "even_moments = second_moment + fourth_moment", "even_moments = second_moment"),
        ("_ranking/risk", "for k in range(1, n + 1)", "for k in range(1, n)"),
        ("_ranking/risk", "inverse_n / 2 - inverse_n_squared", "inverse_n / 2 + inverse_n_squared"),
        ("_ranking/risk", "inverse_n_squared * (1 / 12 - inverse_n_squared", "inverse_n_squared * (1 / 12 + inverse_n_squared"),
        ("_ranking/risk", "np.minimum(high_index, last_table_index)] - ", "np.minimum(high_index, last_table_index)] - 0 * "),
    ],
    "e_aurc": [
        ("failure", "aurc - optimal_aurc, 0.0", "aurc, 0.0"),
        ("failure", "if discordant_pairs else 0.0", "if discordant_pairs > 1 else 0.0"),
        ("failure", "np.array([n_correct]), np.array([n_errors])", "np.array([n_errors]), np.array([n_correct])"),
        ("failure", "optimal_aurc = n_errors * float", "optimal_aurc = n_correct * float"),
    ],
    "augrc": [
        ("failure", "(discordant_pairs + n_errors**2)", "(discordant_pairs - n_errors**2)"),
        ("failure", "(discordant_pairs + n_errors**2)", "(discordant_pairs + n_errors)"),
        ("failure", "(2 * n_samples**2)", "(2 * n_samples * n_correct)"),
        ("failure", "1.0, 0.0, 0.5,", "1.0, 0.0, 1.0,"),
    ],
    "risk_at_80_coverage": [
        ("failure", "-(-4 * n_samples // 5)", "4 * n_samples // 5"),
        ("failure", "-(-4 * n_samples // 5)", "-(-3 * n_samples // 4)"),
        ("failure", "-(-4 * n_samples // 5)", "n_samples"),
        ("_ranking/risk", "errors_tied * ((accepted_count - samples_above) / samples_tied)", "errors_tied"),
        ("_ranking/risk", "((accepted_count - samples_above) / samples_tied)", "(accepted_count / samples_tied)"),
        ("_ranking/risk", "(errors_above + errors_tied", "(errors_tied"),
        ("_ranking/risk", "[len(sorted_confidence) - accepted_counts]", "[len(sorted_confidence) - accepted_counts - 1]"),
        ("_ranking/samples", "np.searchsorted(sorted_values, thresholds, side)", 'np.searchsorted(sorted_values, thresholds, "left")'),
        ("failure", "n_at_80_coverage <= cumulative_accepted[-1]", "n_at_80_coverage < cumulative_accepted[-1]"),
        ("failure", "samples_accepted < n_at_80_coverage <= cumulative_accepted[-1]", "n_at_80_coverage <= cumulative_accepted[-1]"),
        ("failure", "np.searchsorted(cumulative_accepted, n_at_80_coverage)", "np.searchsorted(cumulative_accepted, n_at_80_coverage - 1)"),
        ("failure", "cumulative_accepted[index_at_80_coverage] - samples_tied", "cumulative_accepted[index_at_80_coverage]"),
        ("failure", "cumulative_errors[index_at_80_coverage] - errors_tied", "cumulative_errors[index_at_80_coverage]"),
    ],
    "coverage_at_1_risk": [
        ("_ranking/risk", "(0.01, 0.05)", "(0.0101, 0.05)"),
        ("_ranking/risk", "np.maximum(samples_above, 1) <= target_risk", "np.maximum(samples_above, 1) < target_risk"),
        ("_ranking/risk", "errors_above / np.maximum(samples_above, 1)", "errors_above / np.maximum(samples_above + 1, 1)"),
        (
            "failure",
            "max(max_accepted, int(max_accepted_at_risk(samples_above, errors_above, target_risk)))",
            "int(max_accepted_at_risk(samples_above, errors_above, target_risk))",
        ),
        (
            "failure",
            "int(max_accepted_at_risk(samples_above, errors_above, target_risk))",
            "int(max_accepted_at_risk(samples_above, errors_above + error_counts, target_risk))",
        ),
    ],
    "coverage_at_5_risk": [
        ("_ranking/risk", "(0.01, 0.05)", "(0.01, 0.051)"),
        ("_ranking/risk", "(0.01, 0.05)", "(0.01, 0.049)"),
        ("failure", "n_samples if n_errors / n_samples <= target_risk else 0", "0"),
        ("_ranking/risk", "samples_above, 0).max(", "samples_above, samples_above.max()).min("),
        ("failure", "max_accepted / n_samples for max_accepted", "max_accepted / n_correct for max_accepted"),
    ],
}


def mutated_module(file: str, code: str, replacement: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return failure.py as a separate module, with one replacement in it or in a file that it imports."""
    for name in MUTATED_FILES:
        path = ROOT / "confidnet_core" / "metrics" / f"{name}.py"
        source = path.read_text(encoding="utf-8")
        if name == file:
            if source.count(code) != 1:
                pytest.fail(f"{code!r} stands {source.count(code)} times in {name}.py; write the mutation anew, so that it is there once")
            source = source.replace(code, replacement)
        module = ModuleType(f"confidnet_core.metrics.{name}".replace("/", "."))
        exec(compile(source, path, "exec"), vars(module))
        monkeypatch.setitem(sys.modules, module.__name__, module)  # for the next of the files
    return module


def is_detected(module: ModuleType, *metrics: str) -> bool:
    """Return whether a metric differs from its definition on a small or large case, sorted or counted, in one block or several."""

    def metrics_of_neighbouring_floats(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float | None]:
        return module.failure_metrics(neighbours_of_zero(confidence), correct)

    def metrics_with_curve_risk(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float | None]:
        risk = module.risk_coverage_curve(confidence, correct, max_curve_points=len(correct))[1]
        return {**module.failure_metrics(confidence, correct), "risk_at_80_coverage": risk[-(-4 * len(correct) // 5) - 1]}

    counts, large = sys.modules["confidnet_core.metrics._ranking.counts"], list(LARGE.values())
    for block, *checked in (
        (counts._BLOCK_SIZE, SMALL_CASES),
        (counts._BLOCK_SIZE, large, errors_by_linearity),
        (2, SMALL_CASES),
        (4, large, errors_by_linearity),
    ):
        counts._BLOCK_SIZE = block
        for function in (module.failure_metrics, metrics_of_neighbouring_floats, metrics_with_curve_risk):
            if any(metric in metrics for metric, *_ in disagreements(function, *checked)):
                return True
    return False


def test_without_a_mutation_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch):
    module = mutated_module("failure", "n_correct / n_samples,", "n_correct / n_samples,", monkeypatch)
    assert not is_detected(module, *METRICS)


def test_every_metric_has_mutations():
    assert set(MUTATIONS) == set(METRICS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("metric", "file", "code", "replacement"), [(metric, *mutation) for metric, mutations in MUTATIONS.items() for mutation in mutations]
)
def test_a_mutation_is_noticed(metric: str, file: str, code: str, replacement: str, monkeypatch: pytest.MonkeyPatch):
    assert is_detected(mutated_module(file, code, replacement, monkeypatch), metric), (
        f"{metric} stays as defined with {replacement!r} for {code!r}"
    )
