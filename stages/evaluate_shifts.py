"""Judge all scores on corrupted test images and on foreign ones; nothing is trained: python -m stages.evaluate_shifts BENCHMARK

A benchmark without `shifts` and `foreign` has no such images, and this stage ends at once.

reads   data/prepared/BENCHMARK/, data/foreign/BENCHMARK/, data/predictions/BENCHMARK/, data/inputs/BENCHMARK/, data/scores/BENCHMARK/,
        data/thresholds/BENCHMARK/, params.yaml; data/sources/BENCHMARK/second_model.txt (code of a model); the classifiers, which stand
        behind the predictions, and the other networks, of which the inputs hold digests
writes  data/shifts/BENCHMARK/{shifts.csv, foreign.csv}
"""

from itertools import chain

from confidnet_core import paths
from confidnet_core.cli.stage_process import require_room_for_outputs, stage_outputs
from confidnet_core.config.params import Params
from confidnet_core.revision import stage_code_version
from confidnet_core.scoring.other_images import BenchmarkScores
from confidnet_core.scoring.shifted_results import ShiftedResults, digest_of_stored_files, judge_image_sets, save_shifted_results
from confidnet_core.system.processes import leave_to_first_process
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.training.resume import resumable_work
from stages._command import run_stage, stage_params


def main(params: Params, benchmark_name: str) -> None:
    benchmark, results_folder = params.benchmark(benchmark_name), paths.shifted_results_folder(benchmark_name)
    if not benchmark.shifts and not benchmark.foreign:
        leave_to_first_process()
        return save_shifted_results(results_folder, ())
    used_params = stage_params(params, benchmark_name, "shifts", "foreign") | {"seeds": list(params.seeds), "methods": dict(params.methods)}
    inputs = used_params | {"files": digest_of_stored_files(benchmark_name)}
    inputs["code"] = stage_code_version("evaluate_shifts", benchmark.model.name, benchmark.model.settings)

    with (
        resumable_work("evaluate_shifts", inputs) as resume_folder,
        stage_run(stage="evaluate_shifts", benchmark=benchmark_name, seed=None, params=used_params, deferred=True) as tracked,
    ):
        scores = BenchmarkScores(benchmark_name, benchmark, params.seeds, params.methods)
        results = ShiftedResults(scores)
        foreign_folder = paths.foreign_images_folder(benchmark_name)
        rows_of_set = judge_image_sets(results, benchmark.shifts, foreign_folder, resume_folder.load() or {}, resume_folder.save)

        leave_to_first_process()
        save_shifted_results(results_folder, list(chain.from_iterable(rows_of_set.values())))
        tracked.log_metrics({f"{name} accuracy": rows[0]["accuracy"] for name, rows in rows_of_set.items() if "accuracy" in rows[0]})
        for path in sorted(results_folder.glob("*.csv")):
            tracked.log_artifact(path)
        # Here, while the work can still be resumed: DVC removes the outputs of a stage that fails.
        require_room_for_outputs(stage_outputs("evaluate_shifts", benchmark=benchmark_name))


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str)
