"""Compare all scores of all benchmarks and seeds, and write the reports: python -m stages.compare

reads   data/prepared/, data/predictions/, data/scores/, data/bootstrap/, data/thresholds/, data/histories/, data/shifts/,
        confidnet_core/comparison/published.csv, params.yaml
writes  reports/{index.html, comparison.md, comparison.csv, differences.csv, calibration.csv, thresholds.csv, costs.csv, shifts.csv},
        reports/{foreign.csv, summary.json, curves/*.csv, figures/*.png}
"""

from pathlib import Path

from confidnet_core.comparison.frames import mean_metrics_by_method
from confidnet_core.config.params import Params
from confidnet_core.evaluation.left_out import left_out_by_benchmark
from confidnet_core.reporting.report import write_report
from confidnet_core.serving.registering import register_best_model_or_warn
from confidnet_core.tracking.names import pipeline_results
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params) -> None:
    reports_folder = Path("reports")

    comparison_frame, results_summary, verdicts = write_report(params, reports_folder)

    for benchmark_name, benchmark_frame in comparison_frame.groupby("benchmark", sort=False):
        benchmark_name = str(benchmark_name)
        logged_params = {"seeds": list(params.seeds), "methods": list(params.methods)}
        with stage_run(stage="compare", benchmark=benchmark_name, seed=None, params=logged_params) as tracked:
            # Results belong to the whole pipeline execution, most of whose other stages may be cached. comparison.csv holds all metrics.
            tracked.log_pipeline_results(pipeline_results(results_summary[benchmark_name], mean_metrics_by_method(benchmark_frame)))
            tracked.pipeline_run.set_tag("verdict", verdicts[benchmark_name].summary_sentence)
            for file_name in ("index.html", "comparison.md", "comparison.csv", "differences.csv", "shifts.csv", "foreign.csv", "curves"):
                tracked.pipeline_run.log_artifact(reports_folder / file_name)
            for figure_path in sorted((reports_folder / "figures").glob(f"{benchmark_name}_seed*.png")):
                tracked.pipeline_run.log_artifact(figure_path, "figures")
            register_best_model_or_warn(params, benchmark_name, tracked.pipeline_run_id)
    for benchmark_name, lines in left_out_by_benchmark(params.run, params.seeds, params.methods).items():
        for line in lines:
            print(f"{benchmark_name}: {line}")
    page_path = reports_folder / "index.html"
    markdown_report_path = reports_folder / "comparison.md"
    figures_folder = reports_folder / "figures"
    print(f"all scores side by side: {page_path}, as text: {markdown_report_path}, figures: {figures_folder}/")


if __name__ == "__main__":
    run_stage(main)
