"""Evaluate a confidence score on the test, validation and calibration split: python -m stages.evaluate BENCHMARK SEED METHOD

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/inputs/BENCHMARK/seedSEED/METHOD.json,
        data/ensembles/BENCHMARK/METHOD/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml;
        data/sources/BENCHMARK/second_model.txt (code of a model), and the networks or samples of which METHOD.json holds digests
writes  data/scores/BENCHMARK/seedSEED/METHOD/{test.npy, val.npy, calibration.npy, metrics.json, fitted.pt}, or left_out.json there for
        a score that reads what the benchmark does not have, which ends this stage at once
"""

import sys

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.config.registry import find_entry
from confidnet_core.data import SCORED_SPLITS
from confidnet_core.evaluation.left_out import planned_left_out_reason, save_left_out
from confidnet_core.evaluation.result import RANK_SCALE, evaluate, saturation_warning, save_evaluation
from confidnet_core.scoring.attributes import readable_inputs, score_with_own_answers
from confidnet_core.scoring.run import load_run
from confidnet_core.system.processes import leave_to_first_process
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.stopwatch import Stopwatch
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int, method: str) -> None:
    method_settings = params.method(method)
    if reason := planned_left_out_reason(paths.input_digests_path(benchmark_name, seed, method)):
        leave_to_first_process()
        return save_left_out(paths.score_folder(benchmark_name, seed, method), reason)
    score = find_entry("scores", method)
    score_run = load_run(benchmark_name, params.benchmark(benchmark_name), seed, method, readable_inputs(score))

    with stage_run(stage="evaluate", benchmark=benchmark_name, seed=seed, method=method, params=method_settings, deferred=True) as tracked:
        confidence_by_split, evaluation_by_split, stopwatch = {}, {}, Stopwatch()
        score_properties = {"oracle": getattr(score, "oracle", False), "scale": getattr(score, "scale", RANK_SCALE)}
        for split in SCORED_SPLITS:
            split_run = score_run.on_split(split)
            with stopwatch.measure(len(split_run.images)):
                confidence_by_split[split], *own_answers = score_with_own_answers(score, split_run, method_settings)
            answers = (confidence_by_split[split], split_run.correct, *own_answers)
            evaluation_by_split[split] = evaluate(*answers, benchmark=benchmark_name, seed=seed, method=method, **score_properties)

        leave_to_first_process()
        if not score_properties["oracle"] and (warning := saturation_warning(confidence_by_split["test"], method)):
            print(warning, file=sys.stderr)
        test_evaluation, val_evaluation = evaluation_by_split["test"], evaluation_by_split["val"]
        score_folder = paths.score_folder(benchmark_name, seed, method)
        save_evaluation(score_folder, confidence_by_split, test_evaluation, val_evaluation, method_settings, score_run.save_fitted_values)
        for metric_prefix, metrics in {"": test_evaluation.metrics, "val_": val_evaluation.metrics}.items():
            # The stage `predict` logs the accuracy.
            tracked.log_metrics({f"{metric_prefix}{metric}": value for metric, value in metrics.items() if metric != "accuracy"})
        # Times go to MLflow only: what DVC stores must not depend on where it is computed.
        tracked.log_metrics(stopwatch.metrics() | {"fit_seconds": sum(score_run.cache.fit_seconds.values())})
        tracked.set_tag("oracle", score_properties["oracle"])


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int, method=str)
