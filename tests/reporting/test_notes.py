"""Notes above a benchmark's table: the IoU of a segmentation, and a warning of images that its splits share."""

from dataclasses import replace
from pathlib import Path

import pytest
from small import small_digits

from confidnet_core import paths
from confidnet_core.data import save_dataset
from confidnet_core.reporting.notes import notes_above_table

IOU = {"mean_iou": 0.4, "class_iou": {"road": 0.5, "sky": float("nan")}}


def test_shared_images_are_warned_of_below_the_iou(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    digits = small_digits()
    images = digits.images.copy()
    images[digits.splits["test"][0]] = images[digits.splits["train"][1]]
    save_dataset(replace(digits, images=images), paths.prepared_data_folder("copied"))
    iou_note, warning = notes_above_table(["copied"], {"copied": IOU})["copied"]
    assert iou_note == "mean IoU 40.00% (road 50.0, sky –)"  # noqa: RUF001
    assert warning.startswith("Warning: 1 of 300 test images is also in train, pixel for pixel (test 0 is train 1): results on them")


def test_without_either_there_is_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save_dataset(small_digits(), paths.prepared_data_folder("clean"))
    assert notes_above_table(["clean"], {}) == {"clean": []}
