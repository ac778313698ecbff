"""Notes above a benchmark's main table, in report and page: the IoU of a segmentation, and images that its splits share."""

from collections.abc import Iterable, Mapping

import numpy as np

from confidnet_core import paths
from confidnet_core.comparison.tables import UNDEFINED_SIGN
from confidnet_core.data import warning_sentences
from confidnet_core.display import display_text

MAX_NAME = 60  # characters of the name of a class


def notes_above_table(
    benchmarks: Iterable[str], iou_by_benchmark: Mapping[str, dict], left_out_by_benchmark: Mapping[str, list[str]] | None = None
) -> dict[str, list[str]]:
    """Return {benchmark: lines above its main table}: the IoU of a segmentation, scores that are left out, and images that splits share."""
    notes_by_benchmark = {}
    for benchmark in benchmarks:
        iou_notes = [_iou_note(iou_by_benchmark[benchmark])] if benchmark in iou_by_benchmark else []
        warnings = warning_sentences(paths.prepared_data_folder(benchmark))
        left_out_lines = (left_out_by_benchmark or {}).get(benchmark, [])
        notes_by_benchmark[benchmark] = [*iou_notes, *left_out_lines, *(f"Warning: {display_text(sentence)}" for sentence in warnings)]
    return notes_by_benchmark


def _iou_note(iou_metrics: dict) -> str:
    """Return a line of text with the mean IoU and the IoU of each class, in percent."""
    class_ious_in_words = ", ".join(
        f"{display_text(class_name, MAX_NAME)} {UNDEFINED_SIGN if np.isnan(class_iou) else f'{100 * class_iou:.1f}'}"
        for class_name, class_iou in iou_metrics["class_iou"].items()
    )
    return f"mean IoU {100 * iou_metrics['mean_iou']:.2f}% ({class_ious_in_words})"
