"""Confidence scores: one function a file, named as the file, (run, **settings) -> float array (n,), higher = more confident.

n is what `Run` says: samples of a split, or its labelled pixels. Settings come from `methods` in params.yaml; their types and ranges
stand in the signature (config/ranges.py), and the stage `sources` checks them before any other work. All scores rank the same
predictions, those of the frozen classifier. A score that reads the labels sets the attribute `oracle` on its function;
one of the mean over all seeds sets `over_seeds`, one of ensembles.QUANTITIES. What a score fits it asks for as `run.fitted`, by which
it can be served. Tables call it by `display_name`.

What it costs beside the classifier's own pass it says by three more, as literals, which the command line reads without an import:
`learned`, a word of costs.REQUIREMENTS, for what it needs; `trainings`, the stages that train the networks it reads; and `passes`, extra
forward passes of a network for each image: a number, or what sets it, a word of costs.PASS_COUNTERS. One of augmented views counts them by
`count_views`.
"""
