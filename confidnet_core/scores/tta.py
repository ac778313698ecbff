"""Test-time augmentation: mean log-odds of views. They are shifted or mirrored copies. Bahat & Shakhnarovich 2020, arXiv:2006.16705."""

import numpy as np

from confidnet_core.config.ranges import FractionBelowOne
from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run


def tta(run: Run, shift: FractionBelowOne = 0.04) -> np.ndarray:
    """Return the mean log-odds, over the image and augmented views of it, of the class predicted for the image: float64 (n,).

    shift: the fraction of the image's height by which views are shifted in four directions, at least one pixel; 0 for no shift
    If the classifier's recipe has augmentation.flip, the views are mirrored, and a fifth view is mirrored only.
    """
    return mean_log_odds(run, shift)


tta.display_name = "TTA"
tta.scale = "log_odds"
tta.passes = "views"
tta.count_views = count_views
