"""Print the metrics of the stored scores by other projects' conventions; run by hand: python -m stages.conventions BENCHMARK SEED

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/, params.yaml
writes  nothing
"""

from confidnet_core.comparison.frames import metric_conventions_table
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.config.params import Params
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.metrics.conventions import metrics_by_project_convention
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int) -> None:
    stored_results = StoredResults(benchmark_name, seed, tuple(params.methods))
    correct, _ = stored_results.outcomes()
    metrics_by_method = {
        method: metrics_by_project_convention(stored_results.confidence(method), correct) for method in stored_results.methods
    }
    print(table_to_markdown(metric_conventions_table(metrics_by_method)))


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
