"""A confidence threshold for abstaining, with a guarantee on new data: the error rate among accepted predictions is below a target."""

from confidnet_core.metrics.guarantee.threshold import Guarantee, threshold_with_guarantee

__all__ = ["Guarantee", "threshold_with_guarantee"]
