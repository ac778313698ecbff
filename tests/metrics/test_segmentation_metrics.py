"""The confusion matrix and the intersection over union against scikit-learn, with void pixels and absent classes."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from confidnet_core.metrics import confusion_matrix, intersection_over_union, mean_iou

CAMVID_CLASSES, CAMVID_VOID = 11, 11


def pictures(shape, labels=12, predictions=11, seed=0, dtype=np.uint8):
    generator = np.random.default_rng(seed)
    return generator.integers(0, labels, shape).astype(dtype), generator.integers(0, predictions, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(7,), (2, 5, 6), (3, 300, 400)])
def test_agrees_with_scikit_learn_on_the_pixels_that_are_not_void(shape, dtype):
    labels, predicted = pictures(shape, dtype=dtype)
    counted = labels != CAMVID_VOID
    confusion = confusion_matrix(labels, predicted, CAMVID_CLASSES, CAMVID_VOID)
    assert confusion.dtype == np.int64 and confusion.sum() == counted.sum()
    reference = sklearn_metrics.confusion_matrix(labels[counted], predicted[counted], labels=range(CAMVID_CLASSES))
    assert np.array_equal(confusion, reference)
    present = np.union1d(labels[counted], predicted[counted])
    jaccard = sklearn_metrics.jaccard_score(labels[counted], predicted[counted], labels=present, average=None)
    assert intersection_over_union(confusion)[present] == pytest.approx(jaccard, abs=1e-15)
    assert mean_iou(confusion) == pytest.approx(jaccard.mean(), abs=1e-15)


def test_rows_are_labels_and_columns_predictions():
    assert confusion_matrix([0, 0, 0, 1], [1, 1, 0, 1], 2).tolist() == [[1, 2], [0, 1]]


def test_a_class_in_neither_image_is_left_out_of_the_mean_and_one_that_is_only_predicted_counts_as_zero():
    labels = np.array([[0, 0, 1, 9], [1, 1, 0, 9]])
    predicted = np.array([[0, 2, 1, 3], [1, 1, 0, 3]])  # class 3 is predicted only where the label is void
    confusion = confusion_matrix(labels, predicted, 4, void_label=9)
    assert intersection_over_union(confusion) == pytest.approx([2 / 3, 1, 0, np.nan], nan_ok=True)
    assert mean_iou(confusion) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_the_mean_is_over_the_set_not_over_batches():
    batches = [([0, 0, 0, 1], [0, 0, 0, 0]), ([1, 1, 1, 1], [1, 1, 1, 0])]
    matrices = [confusion_matrix(labels, predicted, 2) for labels, predicted in batches]
    full_matrix = confusion_matrix(np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches]), 2)
    assert np.array_equal(sum(matrices), full_matrix)
    assert mean_iou(full_matrix) == pytest.approx((3 / 5 + 3 / 5) / 2)
    assert mean_iou(full_matrix) != pytest.approx(np.mean([mean_iou(matrix) for matrix in matrices]))


def test_no_counted_pixel_gives_no_number():
    confusion = confusion_matrix(np.full((2, 3), 11), np.zeros((2, 3), dtype=int), 11, void_label=11)
    assert confusion.sum() == 0 and np.isnan(intersection_over_union(confusion)).all()
    assert mean_iou(confusion) is None


def test_counts_beyond_what_float32_can_count_are_exact():
    pixels = 2**24 + 3
    confusion = confusion_matrix(np.zeros(pixels, np.uint8), np.zeros(pixels, np.uint8), 2)
    assert confusion.tolist() == [[pixels, 0], [0, 0]]


@pytest.mark.parametrize(
    ("labels", "predicted", "void", "message"),
    [
        ([0, 11], [0, 1], None, r"label 11; expected 0 \.\.\. 10 "),
        ([0, 200], [0, 1], 11, r"label 200; expected 0 \.\.\. 10 or void 11"),
        ([0, -1], [0, 1], 11, r"label -1"),
        ([0, 1], [0, 11], 11, r"prediction 11; expected 0 \.\.\. 10 "),
        ([0, 1], [0, -3], None, r"prediction -3"),
        ([0, 1], [0, 1, 2], None, r"\(2,\).*\(3,\)"),
        ([0.0, 1.0], [0, 1], None, r"labels are float64; expected integer"),
        ([0, 1], [False, True], None, r"predictions are bool; expected integer"),
        (np.ma.array([0, 1], mask=[0, 1]), [0, 1], None, r"labels is a masked array, with 1 of 2 elements masked"),
    ],
)
def test_bad_input_is_refused_with_the_value(labels, predicted, void, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(labels, predicted, CAMVID_CLASSES, void)


def test_a_bad_label_far_into_a_large_set_is_found():
    labels = np.zeros((2, 360, 480), dtype=np.uint8)
    labels[1, -1, -1] = 12
    with pytest.raises(ValueError, match="label 12"):
        confusion_matrix(labels, np.zeros_like(labels), CAMVID_CLASSES, CAMVID_VOID)
