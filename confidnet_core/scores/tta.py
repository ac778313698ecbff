"""Test-time augmentation: mean log-odds of views. The views show the same image. Bahat & Shakhnarovich 2020, arXiv:2006.16705."""

import numpy as np

from confidnet_core.config.ranges import FractionBelowOne
from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run


def tta(run: Run, shift: FractionBelowOne = 0.04) -> np.ndarray:
    """Mean log-odds of the predicted class over the image and its views, any real number, float64. The prediction is that of the image.

    shift: fraction of the image's height by which the views are shifted in four directions, at least one pixel; 0: no shift
    The views are mirrored, and a fifth is mirrored only, if the classifier's recipe has augmentation.flip.
    """
    return mean_log_odds(run, shift)


tta.display_name = "TTA"
tta.scale = "log_odds"
tta.passes = "views"
tta.count_views = count_views
