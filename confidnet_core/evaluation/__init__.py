"""A confidence score judged: its metrics, its calibration and its operating thresholds, as the stages store them."""
