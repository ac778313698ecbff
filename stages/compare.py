"""Compare all scores of all benchmarks and seeds, and write the reports: python -m stages.compare

reads   data/prepared/, data/predictions/, data/scores/, data/bootstrap/, data/thresholds/, data/histories/,
        confidnet_core/comparison/published.csv, params.yaml
writes  reports/{index.html, comparison.md, comparison.csv, differences.csv, calibration.csv, thresholds.csv, costs.csv, summary.json},
        reports/{curves/*.csv, figures/*.png}
"""

from pathlib import Path

from confidnet_core.comparison.frames import means_by_method
from confidnet_core.config.params import Params
from confidnet_core.reporting.report import write_report
from confidnet_core.serving.registering import register_best_model_or_warn
from confidnet_core.tracking.names import execution_results
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params) -> None:
    reports = Path("reports")

    frame, summary = write_report(params, reports)

    for benchmark, rows in frame.groupby("benchmark", sort=False):
        benchmark = str(benchmark)
        logged_params = {"seeds": list(params.seeds), "methods": list(params.methods)}
        with stage_run(stage="compare", benchmark=benchmark, seed=None, params=logged_params) as tracked:
            # Results belong to the whole execution, most of whose other stages may be cached. comparison.csv holds all metrics.
            tracked.log_experiment(execution_results(summary[benchmark], means_by_method(rows)))
            for name in ("index.html", "comparison.md", "comparison.csv", "differences.csv", "curves"):
                tracked.parent.log_artifact(reports / name)
            for picture in sorted((reports / "figures").glob(f"{benchmark}_seed*.png")):
                tracked.parent.log_artifact(picture, "figures")
            register_best_model_or_warn(params, benchmark, tracked.parent_id)
    print(f"all scores side by side: {reports}/index.html, as text: {reports}/comparison.md, figures: {reports}/figures/")


if __name__ == "__main__":
    run_stage(main)
