"""How MLflow presents an experiment: its description, kind, saved views of its runs, and links that open these views.

A saved view is a tag of the experiment. MLflow's page lists it under "Saved views" and opens it by viewStateShareKey in the address. The
view holds filter, order and columns of the table of runs (MLflow 3.17, mlflow/server/js, savedViewEnvelope and ExperimentPageUIState);
columns cannot be given in the address itself.
"""

import json
from collections.abc import Iterable
from urllib.parse import urlencode

from confidnet_core.tracking.names import COMPARED_METRICS, sort_metric_names

EXPERIMENT_KIND_TAG = {"mlflow.experimentKind": "custom_model_development"}  # otherwise MLflow may show it as traces of a language model
MLFLOW_NOTE_TAG = "mlflow.note.content"  # the description of an experiment or of a run
SAVED_VIEW_TAG_PREFIX = "mlflow.sharedViewState."  # of the tags that hold saved views
EXPERIMENTS_VIEW_KEY, SCORES_VIEW_KEY, TRAININGS_VIEW_KEY = "experiments", "scores", "trainings"  # keys of the views in tags and addresses
RUN_NAME_COLUMN, RUN_NAME_WIDTH_PX = "attributes.`Run Name`", 320
UNGROUPED_CHART_SECTION = "Model metrics"  # MLflow's section for metrics without a slash, shown last by default
CHART_SECTION_STATE = {"display": True, "isReordered": True, "deleted": False, "isGenerated": True}
VIEW_CREATED_AT_MS = 1  # MLflow requires a time; a constant keeps a rewritten view equal


def experiment_tags(benchmark: str, result_metric_names: Iterable[str] = ()) -> dict[str, str]:
    """Return the tags of a benchmark's MLflow experiment as a dictionary: kind, description and saved views.

    result_metric_names: MLflow names of the metrics of a pipeline execution's run, which become columns of the table of runs
    """
    result_metrics = sort_metric_names(result_metric_names) or ["accuracy", "errors", "best_aupr_error"]
    score_metrics = ["aupr_error", "auroc", "aurc", "fpr_at_95_tpr", "aupr_success", "seconds"]
    training_metrics = ["epoch", "train/loss", "val/loss", "val/best_accuracy", "val/best_aupr_error"]
    score_columns = ["tags.`method`", "tags.`seed`", *_metric_column_names(score_metrics)]
    training_columns = ["tags.`stage`", "tags.`seed`", *_metric_column_names(training_metrics)]
    chart_sections = [UNGROUPED_CHART_SECTION, "aupr_error", *COMPARED_METRICS]
    saved_view_by_key = {
        EXPERIMENTS_VIEW_KEY: _build_saved_view(
            "Experiments", "tags.role = 'pipeline'", [*_metric_column_names(result_metrics), "tags.`best_score`"], chart_sections
        ),
        SCORES_VIEW_KEY: _build_saved_view(
            "Scores", "tags.stage = 'evaluate'", score_columns, [UNGROUPED_CHART_SECTION, "val"], sort_column="metrics.`aupr_error`"
        ),
        TRAININGS_VIEW_KEY: _build_saved_view(
            "Trainings", "metrics.epoch > 0", training_columns, ["val", "train", UNGROUPED_CHART_SECTION], sort_column="tags.`stage`"
        ),
    }
    return (
        EXPERIMENT_KIND_TAG
        | {MLFLOW_NOTE_TAG: _describe_experiment(benchmark)}
        | {f"{SAVED_VIEW_TAG_PREFIX}{saved_view_key}": saved_view_json for saved_view_key, saved_view_json in saved_view_by_key.items()}
    )


def saved_view_link(page_address: str, experiment_id: str, saved_view_key: str = EXPERIMENTS_VIEW_KEY, as_charts: bool = False) -> str:
    """Return the web address that opens a saved view of an experiment, as a table or as charts.

    page_address: address of MLflow's page, such as http://127.0.0.1:5000. The returned address must not hold a filter or an order, since
    MLflow would then ignore the saved view.
    """
    chart_view_query = {"compareRunsMode": "CHART"} if as_charts else {}
    url_query = urlencode({"workflowType": "machine_learning", **chart_view_query, "viewStateShareKey": saved_view_key})
    return f"{page_address.rstrip('/')}/#/experiments/{experiment_id}/runs?{url_query}"


def _build_saved_view(
    view_name: str, search_filter: str, column_names: list[str], chart_sections: list[str], sort_column: str = "attributes.start_time"
) -> str:
    """Return a saved view, as JSON text, of the MLflow runs that match SEARCH_FILTER.

    column_names: columns shown after the name of the run, in this order
    chart_sections: sections of the chart view, in this order; MLflow fills them with one chart per metric
    sort_column: column that orders the runs; unless it is the start time, MLflow shows the runs of stages, but not those of their pipeline
        executions
    """
    width_by_column = {column_name: min(240, max(100, 40 + 7 * len(column_name.partition("`")[2]))) for column_name in column_names}
    view_state = {
        "searchFilter": search_filter,
        "orderByKey": sort_column,
        "orderByAsc": False,
        "selectedColumns": column_names,
        "columnOrder": [RUN_NAME_COLUMN, *column_names],
        "columnWidths": {RUN_NAME_COLUMN: RUN_NAME_WIDTH_PX, **width_by_column},
        "compareRunCharts": [],
        "compareRunSections": [{"uuid": section_name, "name": section_name, **CHART_SECTION_STATE} for section_name in chart_sections],
        "isAccordionReordered": True,
    }
    return json.dumps({"name": view_name, "createdAt": VIEW_CREATED_AT_MS, "state": json.dumps(view_state)})


def _metric_column_names(metric_names: Iterable[str]) -> list[str]:
    """Return the names that MLflow gives to the table columns of these metrics, such as metrics.`auroc`."""
    return [f"metrics.`{metric_name}`" for metric_name in metric_names]


def _describe_experiment(benchmark: str) -> str:
    """Return the Markdown description of a benchmark's MLflow experiment."""
    return f"""Failure prediction on the benchmark `{benchmark}`: confidence scores that separate a classifier's correct predictions from
its errors, compared on the test set.

- **Experiments** (saved view): a row for each execution of the pipeline, named by its DVC experiment or its commit, with the results of all
  its scores. It runs until the stage `compare` has ended. Report, tables and figures are its artifacts.
- **Scores** and **Trainings** (saved views): the rows of the stages, which lie under the execution that ran them.

Metrics are named `[split/]metric[/part]`; the test split is not named, and a part is a score, a class or an end of an interval. Accuracy,
IoU, AUPR, AUROC, FPR and coverage are in percent; AURC, E-AURC and AUGRC times 1000."""
