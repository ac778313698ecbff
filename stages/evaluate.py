"""Evaluate a confidence score on the test, validation and calibration split: python -m stages.evaluate BENCHMARK SEED METHOD

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/inputs/BENCHMARK/seedSEED/METHOD.json,
        data/ensembles/BENCHMARK/METHOD/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml;
        and the networks or samples of which METHOD.json holds digests
writes  data/scores/BENCHMARK/seedSEED/METHOD/{test.npy, val.npy, calibration.npy, metrics.json, fitted.pt}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.config.registry import find_entry
from confidnet_core.data import SCORED_SPLITS
from confidnet_core.evaluation.result import RANK, evaluate, save_evaluation
from confidnet_core.scoring.run import load_run
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.stopwatch import Stopwatch
from stages._command import run_stage


def main(params: Params, name: str, seed: int, method: str) -> None:
    settings, score = params.method(method), find_entry("scores", method)
    run = load_run(name, params.benchmark(name), seed, method, getattr(score, "reads", ()))

    with stage_run(stage="evaluate", benchmark=name, seed=seed, method=method, params=settings) as tracked:
        confidence, evaluations, stopwatch, facts = {}, {}, Stopwatch(), {"benchmark": name, "seed": seed, "method": method}
        facts |= {"oracle": getattr(score, "oracle", False), "scale": getattr(score, "scale", RANK)}
        for split in SCORED_SPLITS:
            split_run = run.on_split(split)
            with stopwatch.measure(len(split_run.images)):
                confidence[split] = score(split_run, **settings)
            evaluations[split] = evaluate(confidence[split], split_run.correct, **facts)

        test, val = evaluations["test"], evaluations["val"]
        save_evaluation(paths.score(name, seed, method), confidence, test, val, settings, run.save_fitted)
        for prefix, metrics in {"": test.metrics, "val_": val.metrics}.items():
            tracked.log_metrics({f"{prefix}{key}": value for key, value in metrics.items() if key != "accuracy"})  # `predict` logs it
        # Times go to MLflow only: what DVC stores must not depend on where it is computed.
        tracked.log_metrics(stopwatch.metrics() | {"fit_seconds": sum(run.cache.fit_seconds.values())})
        tracked.set_tag("oracle", facts["oracle"])


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int, method=str)
