"""Failure prediction: which confidence score separates a classifier's correct predictions from its errors.

A row imports only rows below it:

    __main__
    commands
    judging
    cli
    reporting serving scores checkpoints
    comparison tables tracking scoring monitoring training models
    datasets evaluation networks splits revision
    data config
    metrics files paths progress display
    system

config      params.yaml as types, and the names that it may use      comparison  scores side by side, as tables
networks    what runs networks: classifiers, heads, batches          reporting   the page, charts and pictures
training    what trains them                                         serving     models in use, and in MLflow's registry
scoring     what a confidence score may use                          tracking    MLflow rows, and records kept for a server
evaluation  a score judged, stored and in use                        cli         behind the commands
display     texts made safe to show                               system      disks, signals, and addresses without secrets
monitoring  answers of a model in use, compared with its calibration data
judging     scores judged on predictions that a user brings          tables      metrics of files and databases of any size
checkpoints released checkpoints, imported as trained networks
scores, datasets, models: one entry a file; the folder is the registry; commands: one command a file
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confidnet_core.judging.judgement import judge as judge
    from confidnet_core.judging.scored_predictions import ScoredPredictions as ScoredPredictions

_PUBLIC_MODULES = {"judge": "judging.judgement", "ScoredPredictions": "judging.scored_predictions"}


def __getattr__(name: str) -> Any:
    """Import what users of the package call when it is first asked for: importing the package takes no time."""
    if name not in _PUBLIC_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PUBLIC_MODULES[name]}"), name)
