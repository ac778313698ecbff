"""Results of other revisions: tables under reports/ as git has them for an experiment, a branch or a commit."""

import re
import subprocess
from io import StringIO

import pandas as pd

EXPERIMENT_REF = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")  # DVC's ref of an experiment, below the commit that it started from


def experiment_commits() -> dict[str, str]:
    """Return NAME -> commit of this repository's DVC experiments, the newer one of equal names; empty outside a repository."""
    listed = _git_output("for-each-ref", "--sort=creatordate", "--format=%(refname) %(objectname)", "refs/exps")
    lines = [] if listed is None else (line.rpartition(" ") for line in listed.splitlines())
    return {match[1]: commit for name, _, commit in lines if (match := EXPERIMENT_REF.fullmatch(name))}


def resolve_commit(name: str) -> str | None:
    """Return the commit of an experiment, or of any other git revision of that name; None if there is none."""
    return experiment_commits().get(name) or _git_output("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def read_csv_at(commit: str, name: str, path: str) -> pd.DataFrame:
    """Read a CSV file of this folder at a commit. name: of the commit, for messages. ValueError if it is missing or no table."""
    content = _git_output("show", f"{commit}:./{path}")
    if content is None:
        raise ValueError(f"{name} has no {path} in git; it did not finish, or its results were never committed")
    try:
        return pd.read_csv(StringIO(content))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} of {name} is no CSV table ({error})") from None


def _git_output(*arguments: str) -> str | None:
    """Return the output of git, or None if it fails or is not installed."""
    try:
        completed = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return completed.stdout.strip() or None if completed.returncode == 0 else None
