"""Test-time augmentation: what the classifier says of a few other views of an image. Bahat & Shakhnarovich 2020, arXiv:2006.16705."""

import numpy as np

from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run


def tta(run: Run, shift: float = 0.04) -> np.ndarray:
    """Mean log-odds of the predicted class over the image and its views, any real number; the prediction stays that of the image alone.

    shift: by which share of the image's height the views are moved, in four directions, by a pixel at least; 0: not moved
    The views are mirrored, and a fifth is only that, if the classifier's recipe has augmentation.flip. ValueError for a shift outside
    [0, 1).
    """
    return mean_log_odds(run, "tta", shift)


tta.display_name = "TTA"
tta.scale = "log_odds"
tta.passes = "views"
tta.count_views = count_views
