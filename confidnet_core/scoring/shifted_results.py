"""Scores judged under shift and on foreign images: a row for each image set, seed and score, of two tables.

Foreign images, of none of the classes, count as failures beside the errors, as in Jaeger et al. 2023, arXiv:2211.15259, and in Li et al.
2026, arXiv:2603.03903, with one score for both.
"""

import csv
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np

from confidnet_core import paths
from confidnet_core.config.shifts import Shifts
from confidnet_core.data import Dataset, labelled_mask
from confidnet_core.evaluation.at_threshold import ScoredSplit, result_at_threshold
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import atomic_write, load_array, read_json
from confidnet_core.metrics import failure_metrics
from confidnet_core.progress import progress_bar, without_progress_bars
from confidnet_core.scoring.corruptions import corrupt_images, move_label_maps
from confidnet_core.scoring.other_images import BenchmarkScores, ImageSet, Scored

NO_CORRUPTION = "none"  # the test images as they are, in severity 0
SHOWN_METRICS = ("fpr_at_95_tpr", "aupr_error", "auroc", "aurc", "augrc")
THRESHOLD_COLUMNS = ("target_risk", "coverage", "risk", "verdict")  # at the threshold that a served model uses
SHIFT_COLUMNS = (
    *("benchmark", "seed", "corruption", "severity", "method", "oracle", "samples", "errors", "accuracy"),
    *SHOWN_METRICS,
    *THRESHOLD_COLUMNS,
)
FOREIGN_COLUMNS = (
    *("benchmark", "seed", "foreign", "method", "samples", "errors", "foreign_images"),
    *("foreign_auroc", "foreign_fpr_at_95_tpr", "foreign_accepted"),
    *SHOWN_METRICS,
    *THRESHOLD_COLUMNS,
)
Row = dict[str, Any]


def corrupted_test_images(dataset: Dataset, corruption: str, severity: int, seed: int) -> ImageSet:
    """Return a data set's test images in one corruption and severity, with label maps that are moved alike."""
    images, label_maps = dataset.split("test")
    is_labelled = labelled_mask(label_maps, dataset.void)
    if dataset.is_segmentation:
        label_maps, is_labelled = move_label_maps(label_maps, is_labelled, corruption, severity, seed)
    return ImageSet(corrupt_images(images, corruption, severity, seed), label_maps, is_labelled)


class ShiftedResults:
    """The rows of one benchmark."""

    def __init__(self, scores: BenchmarkScores) -> None:
        self._scores = scores
        self._stored = {seed: StoredResults(scores.benchmark_name, seed, tuple(scores.methods(seed))) for seed in scores.seeds}

    def unshifted_rows(self) -> list[Row]:
        """Return the rows of the test images as they are, from what is stored."""
        return [
            self._shift_row(NO_CORRUPTION, 0, Scored(seed, method, *stored.confidence_and_outcomes(method)))
            for seed, stored in self._stored.items()
            for method in stored.methods
        ]

    def shift_rows(self, corruption: str, severity: int, seed: int) -> list[Row]:
        """Return the rows of all seeds and scores on corrupted test images; seed: of the corruption."""
        image_set = corrupted_test_images(self._scores.dataset, corruption, severity, seed)
        return [self._shift_row(corruption, severity, scored) for scored in self._scores.score(image_set)]

    def foreign_rows(self, foreign_folder: Path, name: str) -> list[Row]:
        """Return the rows of all seeds and scores on images that `prepare_foreign` stored, beside the scores of the test images."""
        image_set = ImageSet(load_array(foreign_folder / f"{name}.npy", memory_mapped=True))
        return [self._foreign_row(name, scored) for scored in self._scores.score(image_set)]

    def _shift_row(self, corruption: str, severity: int, scored: Scored) -> Row:
        metrics = failure_metrics(scored.confidence, scored.correct)
        return {
            **self._key(scored),
            "corruption": corruption,
            "severity": severity,
            "oracle": self._scores.is_oracle(scored.method),
            "samples": len(scored.correct),
            "errors": int(np.count_nonzero(~scored.correct)),
            **{metric: metrics[metric] for metric in ("accuracy", *SHOWN_METRICS)},
            **self._at_threshold(scored),
        }

    def _foreign_row(self, foreign_name: str, scored: Scored) -> Row:
        """Return a row whose metrics are of foreign images against correct predictions, and of both kinds of failures together."""
        confidence, correct, pixels_per_image = self._stored[scored.seed].confidence_and_outcomes(scored.method)
        is_correct_or_foreign = np.concatenate([correct, np.ones(len(scored.correct), bool)])
        both = Scored(
            scored.seed,
            scored.method,
            np.concatenate([confidence, scored.confidence]),
            np.concatenate([correct, scored.correct]),
            None if pixels_per_image is None or scored.pixels_per_image is None else np.r_[pixels_per_image, scored.pixels_per_image],
        )
        against_correct = failure_metrics(both.confidence[is_correct_or_foreign], both.correct[is_correct_or_foreign])
        together, foreign_alone = failure_metrics(both.confidence, both.correct), self._at_threshold(scored)
        return {
            **self._key(scored),
            "foreign": foreign_name,
            "samples": len(correct),
            "errors": int(np.count_nonzero(~correct)),
            "foreign_images": len(scored.correct) if scored.pixels_per_image is None else len(scored.pixels_per_image),
            "foreign_auroc": against_correct["auroc"],
            "foreign_fpr_at_95_tpr": against_correct["fpr_at_95_tpr"],
            "foreign_accepted": foreign_alone["coverage"],
            **{metric: together[metric] for metric in SHOWN_METRICS},
            **self._at_threshold(both),
        }

    def _key(self, scored: Scored) -> Row:
        return {"benchmark": self._scores.benchmark_name, "seed": scored.seed, "method": scored.method}

    def _at_threshold(self, scored: Scored) -> Row:
        """Return what the threshold does that a served model uses; None for coverage and risk where there is none."""
        served = next(guarantee for guarantee in self._stored[scored.seed].guarantees(scored.method) if guarantee["served"])
        target_risk, threshold = served["risk"], served["threshold"]
        if threshold is None:
            return dict(zip(THRESHOLD_COLUMNS, (target_risk, None, None, None), strict=True))
        split = ScoredSplit(scored.confidence, scored.correct, scored.pixels_per_image)
        result = result_at_threshold(threshold, target_risk, split)
        return {"target_risk": target_risk, **{key: result[key] for key in THRESHOLD_COLUMNS[1:]}}


def judge_image_sets(
    results: ShiftedResults, shifts: Shifts | None, foreign_folder: Path, finished: dict[str, list[Row]], save: Callable[[dict], None]
) -> dict[str, list[Row]]:
    """Return {name of an image set: its rows} of all corruptions and foreign images of a benchmark.

    finished: what an interrupted process has stored by `save`, which is called with what there is after each image set
    """
    judgements: dict[str, Callable[[], list[Row]]] = {}
    if shifts is not None:
        judgements["unshifted"] = results.unshifted_rows
        for corruption in shifts.corruptions:
            judgements |= {
                f"shift {corruption} {severity}": partial(results.shift_rows, corruption, severity, shifts.seed)
                for severity in shifts.severities
            }
    judgements |= {
        f"foreign {name}": partial(results.foreign_rows, foreign_folder, name) for name in read_json(foreign_folder / "facts.json")
    }
    rows_of_set = dict(finished)
    for name, judge in progress_bar(judgements.items(), len(judgements), "evaluate_shifts", "image set"):
        if name not in rows_of_set:
            with without_progress_bars():
                rows_of_set[name] = judge()
            save(rows_of_set)
    return rows_of_set


def save_shifted_results(results_folder: Path, rows: Sequence[Row]) -> None:
    """Write rows as shifts.csv and foreign.csv, which hold the names of the columns alone where there are none; both files or none."""
    foreign_rows = [row for row in rows if "foreign" in row]
    shift_rows = [row for row in rows if "foreign" not in row]
    with atomic_write(results_folder) as temporary_folder:
        temporary_folder.mkdir()
        for name, columns, rows in (("shifts", SHIFT_COLUMNS, shift_rows), ("foreign", FOREIGN_COLUMNS, foreign_rows)):
            with (temporary_folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


def digest_of_stored_files(benchmark_name: str) -> str:
    """Return one SHA-256, as hexadecimal digits, of what is stored from which the rows of a benchmark follow."""
    folders = (paths.PREDICTIONS_FOLDER, paths.INPUTS_FOLDER, paths.SCORES_FOLDER, paths.THRESHOLDS_FOLDER, paths.FOREIGN_FOLDER)
    digest = sha256()
    for path in sorted(path for folder in folders for path in (folder / benchmark_name).rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest.update(path.as_posix().encode() + file_digest(file, "sha256").digest())
    return digest.hexdigest()
