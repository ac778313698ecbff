"""Print the metrics of the stored scores by other projects' conventions; run by hand: python -m stages.conventions BENCHMARK SEED

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/, params.yaml
writes  nothing
"""

from confidnet_core.comparison.frames import conventions_table
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.config.params import Params
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.metrics.conventions import conventions
from stages._command import run_stage


def main(params: Params, name: str, seed: int) -> None:
    stored = StoredResults(name, seed, tuple(params.methods))
    correct, _ = stored.outcomes()
    print(table_to_markdown(conventions_table({method: conventions(stored.confidence(method), correct) for method in stored.methods})))


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
