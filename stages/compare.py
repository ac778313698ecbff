"""All scores of all benchmarks and seeds side by side: python -m stages.compare

reads   data/prepared/, data/predictions/, data/scores/, data/bootstrap/, data/operating/, models/,
        confidnet_core/published.csv, params.yaml
writes  reports/{index.html, comparison.md, comparison.csv, differences.csv, calibration.csv, thresholds.csv, costs.csv, summary.json},
        reports/{curves/*.csv, figures/*.png}
"""

from pathlib import Path

from confidnet_core.comparison import means_by_method
from confidnet_core.params import Params
from confidnet_core.report import write_report
from confidnet_core.tracking import flatten, stage_run
from stages._command import command


def main(params: Params) -> None:
    reports = Path("reports")

    frame = write_report(params, reports)

    for benchmark, rows in frame.groupby("benchmark", sort=False):
        listed = {"seeds": list(params.seeds), "methods": list(params.methods)}
        with stage_run(stage="compare", benchmark=benchmark, seed=None, params=listed) as run:
            run.log_metrics(flatten(means_by_method(rows)))
            run.log_artifact(reports / "index.html")
            run.log_artifact(reports / "comparison.md")
            run.log_artifact(reports / "differences.csv")
            for picture in sorted((reports / "figures").glob(f"{benchmark}_seed*.png")):
                run.log_artifact(picture, "figures")
    print(f"all scores side by side: {reports}/index.html, as text: {reports}/comparison.md, figures: {reports}/figures/")


if __name__ == "__main__":
    command(main)
