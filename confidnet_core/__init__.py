"""Failure prediction: which score tells a classifier's right answers from its wrong ones.

A row imports only rows below it:

    scores       checkpoints     report          one confidence score a file; networks released elsewhere; everything side by side
    run          training        published  differences  what a score may use; the three trainings; others' results; intervals
    artifacts    fitting         comparison  places  curves  networks on disk; the training loop; tables; what stages stored
    inference    evaluation      plots           networks over a split; a score judged; figures from arrays
    batches      tracking        resume          images as networks are fed; MLflow; interrupted trainings
    datasets     models          losses  metrics  device  progress  _mlflow_store  flat_minima
    params                                       params.yaml
    data         _typed          revision        prepared images; checked values; which code this is
    files        registry                        (registry looks the families up at run time)
"""
