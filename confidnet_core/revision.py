"""Which code this is: the version of the package, the git commit, and whether the code differs from it.

git-diff and git-ls-files (git-scm.com/docs); DVC_EXP_BASELINE_REV is the commit that DVC runs an experiment on.
"""

import os
import subprocess
from typing import Any

VERSION = "0.1.0"  # also in pyproject.toml
CODE = ("confidnet_core", "stages")  # what computes; parameters and results change without it


def revision() -> dict[str, Any]:
    """version; commit, None outside a git repository; changed: whether a file of CODE is edited, deleted or new since the commit.

    The repository is that of the working directory; `changed` is None where there is no such commit in it.
    """
    commit = os.environ.get("DVC_EXP_BASELINE_REV") or git("rev-parse", "HEAD")
    return {"version": VERSION, "commit": commit or None, "changed": _changed(commit) if commit else None}


def _changed(commit: str) -> bool | None:
    edited, new = git("diff", "--name-only", commit, "--", *CODE), git("ls-files", "--others", "--exclude-standard", "--", *CODE)
    return None if edited is None or new is None else bool(edited or new)


def git(*arguments: str) -> str | None:
    """What git prints, in the working directory: a temporary copy's own commit. None without git or a repository."""
    try:
        done = subprocess.run(("git", *arguments), capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
