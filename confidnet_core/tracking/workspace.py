"""Check of the folder in which DVC runs a stage: a temporary workspace whose results DVC would lose is refused before any work.

DVC 3.67 fetches an experiment of `--temp` and of the queue from a file:// URL of its workspace, and ignores every error of that fetch
(dvc.repo.experiments.executor.base). The fetch fails for a shallow clone, and for a folder name such as a%20b, which is unquoted and then
not found. The experiment is then lost without a message and with exit code 0.
"""

import os
from pathlib import Path
from urllib.parse import unquote

from confidnet_core.revision import git

TEMPORARY_WORKSPACES_FOLDER = ".dvc/tmp/exps"


def check_workspace() -> None:
    """Raise ValueError if DVC runs this stage in a temporary workspace from which it could not fetch the results to the project.

    The reason is a %-code in the project's folder name, or a shallow git clone.
    """
    project_folder = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    if not Path.cwd().is_relative_to(project_folder / TEMPORARY_WORKSPACES_FOLDER):
        return
    if unquote(str(project_folder)) != str(project_folder):
        raise ValueError(
            f"DVC loses the results of --temp and --queue in {project_folder}, whose name holds a %-code; rename it, or run without them"
        )
    if git("-C", str(project_folder), "rev-parse", "--is-shallow-repository") == "true":
        raise ValueError(
            f"DVC loses the results of --temp and --queue in {project_folder}, a shallow clone; run `git fetch --unshallow` first"
        )
