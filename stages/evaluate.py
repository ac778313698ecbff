"""One confidence score on the test split: python -m stages.evaluate BENCHMARK SEED METHOD

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, models/BENCHMARK/seedSEED/, params.yaml
writes  data/scores/BENCHMARK/seedSEED/METHOD/{confidence.npy, metrics.json}
"""

from pathlib import Path

from confidnet_core.evaluation import evaluate, save_evaluation
from confidnet_core.params import Params
from confidnet_core.registry import find
from confidnet_core.run import load_run
from confidnet_core.tracking import stage_run
from stages._command import command


def main(params: Params, name: str, seed: int, method: str) -> None:
    settings, run, score = params.method(method), load_run(name, params.benchmark(name), seed), find("scores", method)

    with stage_run(stage="evaluate", benchmark=name, seed=seed, method=method, params=settings) as tracked:
        confidence, oracle = score(run, **settings), getattr(score, "oracle", False)
        evaluation = evaluate(confidence, run.correct, benchmark=name, seed=seed, method=method, oracle=oracle)

        save_evaluation(Path("data/scores") / name / f"seed{seed}" / method, confidence, evaluation, settings)
        tracked.log_metrics({**evaluation.metrics, "samples": evaluation.samples, "errors": evaluation.errors})
        tracked.set_tag("oracle", oracle)


if __name__ == "__main__":
    command(main, benchmark=str, seed=int, method=str)
