"""The tables of differences between scores, and of what is significant among them, from differences.csv of the studies."""

import numpy as np
import pandas as pd

from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import BETTER_VERDICT, NOT_SIGNIFICANT_VERDICT, WORSE_VERDICT
from docs.markdown import DASH, markdown_table
from docs.study_files import differences_from

SCORES = ("mcp", "confidnet", "confidnet_augmented", "corrected_mcp", "tta", "stack", "second_opinion")  # of the differences
BENCHMARKS = {  # in the tables of all studies: the name, and the benchmark whose published numbers stand beside it
    "digits": ("digits", None),
    "mnist_mlp": ("MNIST, MLP", "mnist_mlp"),
    "mnist_convnet": ("MNIST, ConvNet", "mnist_convnet"),
    "camvid_segnet": ("CamVid", "camvid_segnet"),
    "cifar10_images_quick": ("CIFAR-10 (quick)", None),
    "mnist_mlp_quick": ("MNIST, MLP, 5 epochs", None),
    "mnist_convnet_quick": ("MNIST, narrow ConvNet, 4 epochs", None),
    "camvid_segnet_quick": ("CamVid, 90x120", None),
}


def differences(against: str) -> str:
    """AUPR-Error minus that of another score, in points, with the interval of the difference."""
    scores = [score for score in SCORES if score not in (against, "mcp")]
    rows = [["`run`", *map(display_name, scores)]]
    for benchmark in BENCHMARKS:
        changes = differences_from(benchmark, against)
        rows.append([f"`{benchmark}`", *(_change(changes, score) for score in scores)])
    return markdown_table(rows)


def verdicts() -> str:
    """Against MCP by AUPR-Error: on which benchmarks a score is significantly better or worse, for the method and for the networks."""
    rows = [["about", "score", "significantly better", "significantly worse", "no significant difference"]]
    for about, column in (("the method trained anew", "verdict"), ("these trained networks", "networks_verdict")):
        for score in SCORES[1:]:
            frames = {benchmark: differences_from(benchmark) for benchmark in BENCHMARKS}
            changes = {benchmark: frame.loc[score] for benchmark, frame in frames.items() if score in frame.index}
            is_of_networks = column == "networks_verdict"
            asked = {benchmark: change for benchmark, change in changes.items() if is_of_networks or change["question"] == about}
            names = {
                verdict: ", ".join(f"`{benchmark}`" for benchmark, change in asked.items() if change[column] == verdict) or DASH
                for verdict in (BETTER_VERDICT, WORSE_VERDICT, NOT_SIGNIFICANT_VERDICT)
            }
            rows.append([about, display_name(score), *names.values()])
    return markdown_table(rows, left=5)


def significance_mark(changes: pd.DataFrame, score: str) -> str:
    """ " ▲" or " ▼" where a score is significantly better or worse."""
    if score not in changes.index or not changes.at[score, "p_corrected"] < 0.05:
        return ""
    return " ▲" if changes.at[score, "difference"] > 0 else " ▼"


def _change(changes: pd.DataFrame, score: str) -> str:
    if score not in changes.index:
        return DASH
    value, low, high = (np.round(100 * changes.loc[score, ["difference", "low", "high"]].to_numpy(float), 1) + 0.0).tolist()  # no -0.0
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]{significance_mark(changes, score)}"
