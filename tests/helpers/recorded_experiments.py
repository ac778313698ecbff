"""What `dvc exp show --json` printed of a small study on digits with a queue, and the table of it.

Recorded without dependencies, outputs, paths and process numbers: main is the commit, rate-0.005 has ended, rate-0.01 is running, and
broken, more-scores, no-dropout and rate-0.04 are queued. `end` and `fail` change that in a copy.
"""

import io
import json
from copy import deepcopy
from pathlib import Path

from rich.console import Console

from confidnet_core.cli import experiments_table
from confidnet_core.cli.experiments import Experiment

RECORDED: list[dict] = json.loads(Path(__file__).with_suffix(".json").read_text())
RATE = ("benchmarks", "digits", "baseline", "learning_rate")


def named(found: list[Experiment], name: str) -> Experiment:
    (experiment,) = [each for each in found if each.name == name]
    return experiment


def names(found: list[Experiment]) -> list[str]:
    return [each.name for each in found]


def summary(shown: list[dict], name: str) -> dict:
    """The content of reports/summary.json of an experiment, of the workspace, or of the commit ("main")."""
    workspace, commit = shown
    states = {"workspace": workspace, "main": commit} | {each["name"]: each["revs"][0] for each in commit["experiments"]}
    return states[name]["data"]["metrics"]["reports/summary.json"]["data"]


def printed(found: list[Experiment], width: int = 0, form: str = "", scores: str | None = None) -> str:
    """On a terminal of that width; 0: where there is none."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=bool(width), width=width or None, color_system=None)
    experiments_table.print_experiments(console, found, scores, form)
    return file.getvalue()


def line(text: str, name: str) -> str:
    (found,) = [each for each in text.splitlines() if each.strip().startswith(f"{name} ")]
    return found


def end(shown: list[dict], name: str) -> None:
    """As if that experiment had ended, with the results of rate-0.005."""
    states = {each["name"]: each for each in shown[1]["experiments"]}
    states[name]["executor"] = deepcopy(states["rate-0.005"]["executor"])
    states[name]["revs"][0]["data"]["metrics"] = deepcopy(states["rate-0.005"]["revs"][0]["data"]["metrics"])


def fail(shown: list[dict], name: str) -> None:
    """As if that experiment had failed: it still has the metrics of its commit."""
    states = {each["name"]: each for each in shown[1]["experiments"]}
    states[name]["executor"]["state"] = "failed"
    states[name]["revs"][0]["data"]["metrics"] = deepcopy(shown[1]["data"]["metrics"])
