"""Results of earlier studies: the tables under reports/ as git stores them for a DVC experiment, a branch or a commit."""

import re
import subprocess
from io import StringIO

import pandas as pd

EXPERIMENT_REF = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")  # DVC's ref of an experiment, below the commit that it started from


def experiment_commits() -> dict[str, str]:
    """Return NAME -> git commit of all DVC experiments in this repository; of experiments with the same name, the newest.

    Empty outside a git repository.
    """
    ref_lines = _run_git("for-each-ref", "--sort=creatordate", "--format=%(refname) %(objectname)", "refs/exps")
    ref_parts = [] if ref_lines is None else (line.rpartition(" ") for line in ref_lines.splitlines())
    return {match[1]: commit for name, _, commit in ref_parts if (match := EXPERIMENT_REF.fullmatch(name))}


def resolve_commit(name: str) -> str | None:
    """Return the git commit of a DVC experiment, a branch, a tag or another git revision with this name; None if there is none."""
    return experiment_commits().get(name) or _run_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def read_csv_at(commit: str, name: str, path: str) -> pd.DataFrame:
    """Return the table in a CSV file as it is stored in a git commit.

    commit: git commit; name: what messages call the commit; path: of the file, relative to this folder
    ValueError if the commit lacks the file or the file is no table.
    """
    csv_text = _run_git("show", f"{commit}:./{path}")
    if csv_text is None:
        raise ValueError(f"{name} has no {path} in git; it did not finish, or its results were never committed")
    try:
        return pd.read_csv(StringIO(csv_text))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} of {name} is no CSV table ({error})") from None


def _run_git(*arguments: str) -> str | None:
    """Run a git command and return what it prints, without spaces at the ends; None if it prints nothing, fails or is not installed."""
    try:
        git_process = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return git_process.stdout.strip() or None if git_process.returncode == 0 else None
