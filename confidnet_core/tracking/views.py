"""What an experiment of MLflow says of itself and how its runs are shown: description, kind, saved views and the links that open them.

A saved view is a tag of the experiment, which MLflow's page lists under "Saved views" and opens by viewStateShareKey in the address: the
filter, the order and the columns of the table of runs (MLflow 3.17, mlflow/server/js, savedViewEnvelope and ExperimentPageUIState). Columns
cannot stand in the address itself.
"""

import json
from collections.abc import Iterable
from urllib.parse import urlencode

from confidnet_core.tracking.names import COMPARED, columns

KIND = {"mlflow.experimentKind": "custom_model_development"}  # else MLflow may take it for traces of a language model
NOTE = "mlflow.note.content"  # the description of an experiment or of a run
VIEW = "mlflow.sharedViewState."  # tags of saved views begin so
EXPERIMENTS, SCORES, TRAININGS = "experiments", "scores", "trainings"  # the views, by the end of their tags and addresses
NAME, NAME_WIDTH = "attributes.`Run Name`", 320  # pixels
UNGROUPED = "Model metrics"  # MLflow's section for metrics without a slash, which it would show last
SECTION = {"display": True, "isReordered": True, "deleted": False, "isGenerated": True}
CREATED = 1  # a time is asked for; the same one each time, so that a view that is written again is no other


def experiment_tags(benchmark: str, results: Iterable[str] = ()) -> dict[str, str]:
    """Tags of the experiment of a benchmark. results: the metrics in the row of an experiment, by their names in MLflow."""
    metrics = columns(results) or ["accuracy", "errors", "best_aupr_error"]
    scores = ["aupr_error", "auroc", "aurc", "fpr_at_95_tpr", "aupr_success", "seconds"]
    trainings = ["epoch", "train/loss", "val/loss", "val/best_accuracy", "val/best_aupr_error"]
    score, training = ["tags.`method`", "tags.`seed`", *_metrics(scores)], ["tags.`stage`", "tags.`seed`", *_metrics(trainings)]
    sections = [UNGROUPED, "aupr_error", *COMPARED]
    views = {
        EXPERIMENTS: _view("Experiments", "tags.role = 'pipeline'", [*_metrics(metrics), "tags.`best_score`"], sections),
        SCORES: _view("Scores", "tags.stage = 'evaluate'", score, [UNGROUPED, "val"], order="metrics.`aupr_error`"),
        TRAININGS: _view("Trainings", "metrics.epoch > 0", training, ["val", "train", UNGROUPED], order="tags.`stage`"),
    }
    return KIND | {NOTE: _description(benchmark)} | {f"{VIEW}{key}": value for key, value in views.items()}


def link(address: str, experiment_id: str, view: str = EXPERIMENTS, charts: bool = False) -> str:
    """Where MLflow's page at ADDRESS, such as http://127.0.0.1:5000, shows a view: as a table, or as charts.

    No filter and no order may stand in it: MLflow then leaves the saved view aside.
    """
    shown = {"compareRunsMode": "CHART"} if charts else {}
    query = urlencode({"workflowType": "machine_learning", **shown, "viewStateShareKey": view})
    return f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs?{query}"


def _view(name: str, search: str, shown: list[str], sections: list[str], order: str = "attributes.start_time") -> str:
    """A saved view of the runs that match a search.

    shown: the columns, in their order after the name of the run
    sections: of the chart view, in their order; MLflow fills them with a chart for each metric
    order: by another one than the start, MLflow shows the rows of stages on their own and not under those of their executions
    """
    widths = {column: min(240, max(100, 40 + 7 * len(column.partition("`")[2]))) for column in shown}
    state = {
        "searchFilter": search,
        "orderByKey": order,
        "orderByAsc": False,
        "selectedColumns": shown,
        "columnOrder": [NAME, *shown],
        "columnWidths": {NAME: NAME_WIDTH, **widths},
        "compareRunCharts": [],
        "compareRunSections": [{"uuid": section, "name": section, **SECTION} for section in sections],
        "isAccordionReordered": True,
    }
    return json.dumps({"name": name, "createdAt": CREATED, "state": json.dumps(state)})


def _metrics(names: Iterable[str]) -> list[str]:
    return [f"metrics.`{name}`" for name in names]


def _description(benchmark: str) -> str:
    return f"""Failure prediction on the benchmark `{benchmark}`: confidence scores that separate a classifier's correct predictions from
its errors, compared on the test set.

- **Experiments** (saved view): a row for each execution of the pipeline, named by its DVC experiment or its commit, with the results of all
  its scores. It runs until the stage `compare` has ended. Report, tables and figures are its artifacts.
- **Scores** and **Trainings** (saved views): the rows of the stages, which lie under the execution that ran them.

Metrics are named `[split/]metric[/part]`; the test split is not named, and a part is a score, a class or an end of an interval. Accuracy,
IoU, AUPR, AUROC, FPR and coverage are in percent; AURC, E-AURC and AUGRC times 1000."""
