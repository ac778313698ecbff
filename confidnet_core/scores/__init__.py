"""Confidence scores: one function a file, named as the file, (run, **settings) -> float array (n,), higher = surer.

n is what `Run` says: samples of a split, or its labelled pixels. Settings come from `methods` in params.yaml. All scores rank the
same predictions, those of the frozen classifier. A score that reads the labels sets the attribute `oracle` on its function;
one of the mean over all seeds sets `over_seeds`, one of ensembles.QUANTITIES. What a score fits it asks for as `run.fitted`, by which
it can be served.
"""
