"""The evaluation of a confidence score: its metrics, its calibration and its operating thresholds, as the stages store them."""
