"""Results of other revisions: the tables under reports/ that git has of an experiment, a branch or a commit."""

import re
import subprocess
from io import StringIO

import pandas as pd

EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")  # where DVC keeps an experiment: below the commit that it started from


def experiments() -> dict[str, str]:
    """NAME -> commit, of the DVC experiments of this repository; empty outside one. Of two with one name, the newer one."""
    listed = _git("for-each-ref", "--sort=creatordate", "--format=%(refname) %(objectname)", "refs/exps")
    lines = [] if listed is None else (line.rpartition(" ") for line in listed.splitlines())
    return {found[1]: commit for name, _, commit in lines if (found := EXPERIMENT.fullmatch(name))}


def resolve(name: str) -> str | None:
    """The commit of an experiment, or of what git knows by that name; None where there is none."""
    return experiments().get(name) or _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def read_at(commit: str, name: str, path: str) -> pd.DataFrame:
    """A CSV file of this folder as a commit has it. name: of the commit, for messages. ValueError where it has none, or it is no table."""
    content = _git("show", f"{commit}:./{path}")
    if content is None:
        raise ValueError(f"{name} has no {path} in git; it did not finish, or its results were never committed")
    try:
        return pd.read_csv(StringIO(content))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} of {name} is no CSV table ({error})") from None


def _git(*arguments: str) -> str | None:
    """What git prints, or None where it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
