"""Results of other revisions: the tables under reports/ as git stores them for a DVC experiment, a branch or a commit."""

import re
import subprocess
from io import StringIO

import pandas as pd

# DVC's git ref of an experiment; the digits are the commit that it started from.
EXPERIMENT_REF_PATTERN = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")


def commit_by_experiment() -> dict[str, str]:
    """Return {experiment name: git commit} of all DVC experiments in this repository; of experiments with the same name, the newest.

    The dictionary is empty outside a git repository.
    """
    git_ref_lines = _run_git("for-each-ref", "--sort=creatordate", "--format=%(refname) %(objectname)", "refs/exps")
    git_ref_parts = [] if git_ref_lines is None else (line.rpartition(" ") for line in git_ref_lines.splitlines())
    return {
        git_ref_match[1]: commit
        for git_ref_name, _, commit in git_ref_parts
        if (git_ref_match := EXPERIMENT_REF_PATTERN.fullmatch(git_ref_name))
    }


def resolve_commit(revision_name: str) -> str | None:
    """Return the git commit of a DVC experiment, a branch, a tag or another git revision with this name; None if there is none."""
    return commit_by_experiment().get(revision_name) or _run_git(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision_name}^{{commit}}"
    )


def read_csv_at_commit(commit: str, revision_name: str, csv_path: str) -> pd.DataFrame:
    """Return the table in a CSV file as it is stored in a git commit.

    revision_name: what messages call the commit; csv_path: path of the file, relative to this folder
    Raises ValueError if the commit lacks the file or the file is no table.
    """
    csv_text = _run_git("show", f"{commit}:./{csv_path}")
    if csv_text is None:
        raise ValueError(f"{revision_name} has no {csv_path} in git; it did not finish, or its results were never committed")
    try:
        return pd.read_csv(StringIO(csv_text))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{csv_path} of {revision_name} is no CSV table ({error})") from None


def _run_git(*git_arguments: str) -> str | None:
    """Run a git command and return what it prints, stripped of blanks; None if it prints nothing, fails or is not installed."""
    try:
        git_process = subprocess.run(["git", *git_arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return git_process.stdout.strip() or None if git_process.returncode == 0 else None
