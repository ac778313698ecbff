"""How MLflow presents an experiment: its description, kind, saved views of its runs, and links that open these views.

A saved view is a tag of the experiment. MLflow's page lists it under "Saved views" and opens it by viewStateShareKey in the address. The
view holds filter, order and columns of the table of runs (MLflow 3.17, mlflow/server/js, savedViewEnvelope and ExperimentPageUIState);
columns cannot be given in the address itself.
"""

import json
from collections.abc import Iterable
from urllib.parse import urlencode

from confidnet_core.tracking.names import COMPARED_METRICS, sorted_metrics

EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}  # otherwise MLflow may show it as traces of a language model
NOTE_TAG = "mlflow.note.content"  # the description of an experiment or of a run
VIEW_TAG_PREFIX = "mlflow.sharedViewState."  # of the tags that hold saved views
EXPERIMENTS_VIEW, SCORES_VIEW, TRAININGS_VIEW = "experiments", "scores", "trainings"  # keys of the views in tags and addresses
RUN_NAME_COLUMN, RUN_NAME_WIDTH_PX = "attributes.`Run Name`", 320
UNGROUPED_SECTION = "Model metrics"  # MLflow's section for metrics without a slash, shown last by default
SECTION_STATE = {"display": True, "isReordered": True, "deleted": False, "isGenerated": True}
VIEW_CREATED_AT_MS = 1  # MLflow requires a time; a constant keeps a rewritten view equal


def experiment_tags(benchmark: str, results: Iterable[str] = ()) -> dict[str, str]:
    """Return the tags of a benchmark's MLflow experiment: kind, description and saved views.

    results: MLflow names of the metrics of a pipeline execution's run, which become columns
    """
    result_metrics = sorted_metrics(results) or ["accuracy", "errors", "best_aupr_error"]
    score_metrics = ["aupr_error", "auroc", "aurc", "fpr_at_95_tpr", "aupr_success", "seconds"]
    training_metrics = ["epoch", "train/loss", "val/loss", "val/best_accuracy", "val/best_aupr_error"]
    score_columns = ["tags.`method`", "tags.`seed`", *_metric_column_names(score_metrics)]
    training_columns = ["tags.`stage`", "tags.`seed`", *_metric_column_names(training_metrics)]
    chart_sections = [UNGROUPED_SECTION, "aupr_error", *COMPARED_METRICS]
    view_by_key = {
        EXPERIMENTS_VIEW: _build_saved_view(
            "Experiments", "tags.role = 'pipeline'", [*_metric_column_names(result_metrics), "tags.`best_score`"], chart_sections
        ),
        SCORES_VIEW: _build_saved_view(
            "Scores", "tags.stage = 'evaluate'", score_columns, [UNGROUPED_SECTION, "val"], order="metrics.`aupr_error`"
        ),
        TRAININGS_VIEW: _build_saved_view(
            "Trainings", "metrics.epoch > 0", training_columns, ["val", "train", UNGROUPED_SECTION], order="tags.`stage`"
        ),
    }
    return (
        EXPERIMENT_KIND
        | {NOTE_TAG: _describe_experiment(benchmark)}
        | {f"{VIEW_TAG_PREFIX}{key}": value for key, value in view_by_key.items()}
    )


def view_link(address: str, experiment_id: str, view: str = EXPERIMENTS_VIEW, charts: bool = False) -> str:
    """Return the web address that opens a saved view of an experiment, as a table or as charts.

    address: of MLflow's page, such as http://127.0.0.1:5000. The returned address must not hold a filter or an order, since MLflow would
    then ignore the saved view.
    """
    chart_view_url_query = {"compareRunsMode": "CHART"} if charts else {}
    url_query = urlencode({"workflowType": "machine_learning", **chart_view_url_query, "viewStateShareKey": view})
    return f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs?{url_query}"


def _build_saved_view(
    name: str, search_filter: str, columns: list[str], chart_sections: list[str], order: str = "attributes.start_time"
) -> str:
    """Return a saved view, as JSON text, of the MLflow runs that match SEARCH_FILTER.

    columns: shown after the name of the run, in this order
    chart_sections: of the chart view, in this order; MLflow fills them with one chart per metric
    order: column to sort by; unless it is the start time, MLflow shows the runs of stages without those of their pipeline executions
    """
    width_by_column = {column: min(240, max(100, 40 + 7 * len(column.partition("`")[2]))) for column in columns}
    view_state = {
        "searchFilter": search_filter,
        "orderByKey": order,
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": [RUN_NAME_COLUMN, *columns],
        "columnWidths": {RUN_NAME_COLUMN: RUN_NAME_WIDTH_PX, **width_by_column},
        "compareRunCharts": [],
        "compareRunSections": [{"uuid": section, "name": section, **SECTION_STATE} for section in chart_sections],
        "isAccordionReordered": True,
    }
    return json.dumps({"name": name, "createdAt": VIEW_CREATED_AT_MS, "state": json.dumps(view_state)})


def _metric_column_names(names: Iterable[str]) -> list[str]:
    """Return MLflow's names of the table columns that show these metrics."""
    return [f"metrics.`{name}`" for name in names]


def _describe_experiment(benchmark: str) -> str:
    """Return the Markdown description of a benchmark's MLflow experiment."""
    return f"""Failure prediction on the benchmark `{benchmark}`: confidence scores that separate a classifier's correct predictions from
its errors, compared on the test set.

- **Experiments** (saved view): a row for each execution of the pipeline, named by its DVC experiment or its commit, with the results of all
  its scores. It runs until the stage `compare` has ended. Report, tables and figures are its artifacts.
- **Scores** and **Trainings** (saved views): the rows of the stages, which lie under the execution that ran them.

Metrics are named `[split/]metric[/part]`; the test split is not named, and a part is a score, a class or an end of an interval. Accuracy,
IoU, AUPR, AUROC, FPR and coverage are in percent; AURC, E-AURC and AUGRC times 1000."""
