"""Shapes in signatures: a test that passes an array of another shape is told which one."""

import numpy as np
import pandas as pd
import pytest
from jaxtyping import TypeCheckError

from confidnet_core.evaluation.intervals import central
from confidnet_core.metrics.segmentation import mean_iou


def test_an_array_of_another_shape_is_named_with_the_shape_that_is_expected():
    with pytest.raises(TypeCheckError, match=r"(?s)mean_iou.*parameter.*i64\[3\]\(numpy\)"):
        mean_iou(np.zeros(3, np.int64))


def test_a_table_in_the_place_of_an_array_is_refused():
    with pytest.raises(TypeCheckError, match="central"):
        central(pd.DataFrame({"mcp": [0.5]}), 0.95)
