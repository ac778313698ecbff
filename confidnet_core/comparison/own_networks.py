"""Sentences about networks of scores that are classifiers themselves: a reader sees when such a network should replace the classifier."""

import pandas as pd

from confidnet_core.comparison.frames import OWN_COLUMNS, mean_over_seeds
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import format_value
from confidnet_core.comparison.uncertainty import insufficiency

CLASSIFIER_SCORE = "mcp"  # by which the classifier's own AURC is told


def own_network_sentences(benchmark_rows: pd.DataFrame) -> list[str]:
    """Return a line for each score whose network is a classifier itself: its accuracy and AURC beside the classifier's.

    benchmark_rows: one benchmark's rows of `comparison_frame`; where they hold too little data to compare scores, nothing is recommended
    """
    if not benchmark_rows.columns.isin(OWN_COLUMNS).any():
        return []
    means = mean_over_seeds(benchmark_rows)
    accuracy = means["accuracy"].iloc[0]
    classifier_aurc = means.loc[means["method"] == CLASSIFIER_SCORE, "aurc"]
    by_mcp = f" and, by MCP, AURC {format_value(1000 * classifier_aurc.iloc[0])}" if len(classifier_aurc) else ""
    sentences = []
    for method, rows in iterate_groups(benchmark_rows.dropna(subset=list(OWN_COLUMNS)), "method"):
        own_accuracy, own_aurc = (rows[column].mean() for column in OWN_COLUMNS)
        sentence = (
            f"The network of the score {display_name(method)} is a classifier itself: accuracy {format_value(100 * own_accuracy)} %, "
            f"AURC {format_value(1000 * own_aurc)}. The classifier has {format_value(100 * accuracy)} %{by_mcp}."
        )
        is_better = own_accuracy > accuracy and not insufficiency(benchmark_rows)
        sentences.append(f"{sentence} It errs less often: consider it in the classifier's place." if is_better else sentence)
    return sentences
