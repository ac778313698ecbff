"""Shapes of arrays stand in signatures: in tests every call is checked against them, in a study none."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from project_code import ROOT

from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.metrics.segmentation import mean_iou
from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.training.losses import confidence_loss_to_targets


def test_an_argument_of_a_wrong_shape_is_named_with_its_shape():
    with pytest.raises(TypeCheckError, match=r"(?s)parameter 'labels'.*i64\[5\].*b=4"):
        true_class_probability(torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64))


def test_an_argument_of_a_wrong_type_of_number_is_named():
    with pytest.raises(TypeCheckError, match=r"(?s)parameter 'target_values'.*i64\[4\]"):
        confidence_loss_to_targets(torch.zeros(4), torch.zeros(4, dtype=torch.int64), "mse")


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(TypeCheckError, match="confusion"):
        mean_iou(np.zeros((3, 2), np.int64))


def test_fields_of_one_object_have_to_fit_each_other():
    with pytest.raises(TypeCheckError, match="correct"):
        ScoredSplit(np.zeros(4), np.zeros(5, bool))


def test_a_study_checks_nothing():
    code = (
        "import sys, torch; from confidnet_core.networks.probabilities import true_class_probability as tcp; "
        "tcp(torch.zeros(4, 3), torch.zeros((2,), dtype=torch.int64)); assert 'beartype' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
