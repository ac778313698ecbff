"""Failure prediction: which score tells a classifier's right answers from its wrong ones.

A row imports only rows below it:

    scores                                       one confidence score a file
    run          training        report          what a score may use; the three trainings; everything side by side
    artifacts    fitting         comparison      networks on disk; the one training loop; tables
    inference    evaluation      plots           networks over a split; a score judged; figures from arrays
    batches      tracking        resume          images as networks are fed; MLflow; interrupted trainings
    datasets     models          losses  metrics  device  progress  _mlflow_store
    data         params
    files        registry                        (registry looks the families up at run time)
"""
