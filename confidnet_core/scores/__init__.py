"""Confidence scores: each file holds one function of its name, (run, **settings) -> float array (n,), where higher is more confident.

n counts the samples of a split, or its labelled pixels: see `Run`. All scores rank the same predictions, those of the frozen classifier.
The settings come from `methods` in params.yaml. Their types and ranges stand in the signature (config/ranges.py), and the stage `sources`
checks them before any other work. A score fits values only by `run.fitted`, so that it can be served.

The function of a score may have these attributes:
- display_name: its name in tables
- scale: "probability" or "log_odds" (evaluation/result.py); without it only the ranking has a meaning
- oracle: True if it reads the labels
- reads: the inputs beside the classifier and its predictions, of scoring/reads.py
- reads_if_trained: networks of scoring/reads.py that it reads only where the benchmark has them
- needs_logits: True if it is no function of the softmax probabilities, from which logits are known up to a common number only
- needs_training_images: True if it reads the training split, without which it is left out
- over_seeds: the one of ENSEMBLE_QUANTITIES (scoring/ensembles.py) that it needs of the classifiers of all seeds
- with_own_answers: a function (run, **settings) that returns the score and, of a network that is a classifier itself, the confidence in
  its own predictions and which of them are correct, three arrays (n,), from one pass over the images
- learned, trainings, passes, count_views: its costs beside the classifier's own forward pass. `learned` is a key of
  costs.METHOD_REQUIREMENTS and says what it needs. `trainings` are the stages that train the networks it reads. `passes` are the extra
  forward passes for each image: a number, or a key of costs.FORWARD_PASS_COUNTERS for the setting that determines it. `count_views` is the
  function that counts augmented views.
The command line reads the costs without importing the file, so they are literals.
"""
