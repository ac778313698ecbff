"""Failure prediction: which confidence score separates a classifier's correct predictions from its errors.

A row imports only rows below it:

    __main__
    commands
    cli
    reporting serving scores checkpoints
    comparison tables tracking scoring training models
    datasets evaluation networks splits revision
    data config
    metrics files paths progress

config      params.yaml as types, and the names that it may use      comparison  scores side by side, as tables
networks    what runs networks: classifiers, heads, batches          reporting   the page, charts and pictures
training    what trains them                                         serving     models in use, and in MLflow's registry
scoring     what a confidence score may use                          tracking    MLflow rows, and records kept for a server
evaluation  a score judged, stored and in use                        cli         behind the commands
checkpoints released checkpoints, imported as trained networks       tables      metrics of files and databases of any size
scores, datasets, models: one entry a file; the folder is the registry; commands: one command a file
"""
