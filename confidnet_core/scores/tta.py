"""Test-time augmentation: mean log-odds of views. The views show the same image. Bahat & Shakhnarovich 2020, arXiv:2006.16705."""

import numpy as np

from confidnet_core.config.ranges import Share
from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run


def tta(run: Run, shift: Share = 0.04) -> np.ndarray:
    """Mean log-odds of the predicted class over the image and its views, any real number; the prediction stays that of the image alone.

    shift: by which share of the image's height the views are moved, in four directions, by a pixel at least; 0: not moved
    The views are mirrored, and a fifth is only that, if the classifier's recipe has augmentation.flip.
    """
    return mean_log_odds(run, shift)


tta.display_name = "TTA"
tta.scale = "log_odds"
tta.passes = "views"
tta.count_views = count_views
