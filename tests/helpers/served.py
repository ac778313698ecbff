"""What the stages store of trained networks, laid out for packing: scores on all splits, thresholds, params.yaml."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from small import CPU
from small_params import VALID, load, replace

from confidnet_core.config.params import Params, Thresholds
from confidnet_core.config.registry import find_entry
from confidnet_core.data import SCORED_SPLITS
from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.evaluation.result import RANK_SCALE, evaluate, save_evaluation
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.evaluation.thresholds import guaranteed_thresholds, save_thresholds
from confidnet_core.evaluation.thresholds import reliability as calibrated
from confidnet_core.networks.artifacts import load_classifier
from confidnet_core.networks.inference import predict, prediction_metrics, save_predictions
from confidnet_core.scoring.run import Run
from confidnet_core.serving.packing import copy_networks_to_candidate, pack_model_with_score

RISKS = (0.05, 0.3, 0.9)


def params_of(runs: Iterable[Run], methods: Iterable[str], folder: Path) -> Params:
    """Of seed 0; target risks that small networks can keep."""
    found = load(folder, VALID | {"methods": {method: {} for method in methods}})
    benchmarks = {run.benchmark_name: run.benchmark for run in runs}
    return replace(found, run=tuple(benchmarks), benchmarks=benchmarks, thresholds=Thresholds(risks=RISKS, serve=RISKS[2], delta=0.1))


def answer(run: Run) -> None:
    """What `predict` stores: of the classifier as it is loaded, whose weights may lie otherwise in memory than in the training."""
    classifier, dataset = load_classifier(run.models_folder / "baseline", run.benchmark, run.dataset), run.dataset
    answers = {split: predict(classifier, dataset.split(split)[0], dataset, CPU) for split in SCORED_SPLITS}
    save_predictions(run.predictions_folder, answers, prediction_metrics(answers["test"], dataset.split("test")[1], dataset))


def score(run: Run, methods: Iterable[str], root: Path) -> None:
    """Into data/scores and data/thresholds under ROOT, what `evaluate` and `operate` store."""
    for method in methods:
        function, part = find_entry("scores", method), replace(run)
        facts = {"benchmark": run.benchmark_name, "seed": run.seed, "method": method, "oracle": getattr(function, "oracle", False)}
        facts["scale"] = getattr(function, "scale", RANK_SCALE)
        splits = {split: part.on_split(split) for split in SCORED_SPLITS}
        confidence = {split: function(one) for split, one in splits.items()}
        found = {split: evaluate(confidence[split], one.correct, **facts) for split, one in splits.items()}
        folder = f"{run.benchmark_name}/seed{run.seed}/{method}"
        save_evaluation(root / "data/scores" / folder, confidence, found["test"], found["val"], {}, part.save_fitted_values)
        scored = {split: ScoredSplit(confidence[split], one.correct, _sizes(one)) for split, one in splits.items()}
        reliable = calibrated(scored["val"], scored["test"], facts["scale"], resample_count=100, seed=0)
        promises = guaranteed_thresholds(
            scored["val"], scored["calibration"], scored["test"], Thresholds(risks=RISKS, serve=RISKS[2], delta=0.1)
        )
        save_thresholds(root / "data/thresholds" / folder, reliable, promises)


def packed(run: Run, method: str, params: Params, folder: Path) -> Path:
    """The folder of a model with this score, networks included; the working directory is the root of the run's files."""
    copy_networks_to_candidate(pack_model_with_score(stored_of(run, method), method, params, folder))
    return folder


def stored_of(run: Run, *methods: str) -> StoredResults:
    return StoredResults(run.benchmark_name, run.seed, methods)


def _sizes(run: Run) -> np.ndarray | None:
    return run.is_labelled.reshape(len(run.is_labelled), -1).sum(1) if run.dataset.is_segmentation else None
