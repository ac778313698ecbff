"""The command line for daily use beside DVC: python -m confidnet_core COMMAND, or `confidnet` where the package is installed.

DVC runs the pipeline: `dvc repro`, `dvc exp run`, `dvc push`. The commands are the files of commands/. A user error ends as one line and
exit code 1, Ctrl-C as one line and exit code 130. Each command imports what it needs itself, so that `--help` answers at once.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from confidnet_core import commands
from confidnet_core.system.interruption import one_line_if_interrupted


def _commands_in_folder() -> dict[str, click.Command]:
    """Return {name: command} for each file of commands/ without a leading underscore."""
    command_names = sorted(command_path.stem for command_path in Path(commands.__path__[0]).glob("[!_]*.py"))
    return {name: import_module(f"{commands.__name__}.{name}").command for name in command_names}


def _print_version(click_context: click.Context, click_parameter: click.Parameter, is_version_requested: bool) -> None:
    if not is_version_requested or click_context.resilient_parsing:
        return
    from confidnet_core.revision import CODE_ROOT, VERSION, git

    commit = git("-C", str(CODE_ROOT), "log", "-1", "--format=commit %h of %cs", "--", "confidnet_core")
    changed_files = commit and git("-C", str(CODE_ROOT), "status", "--porcelain", "--", "confidnet_core")
    click.echo(", ".join([f"confidnet {VERSION}", *([commit] if commit else []), *(["with changed files"] if changed_files else [])]))
    click_context.exit()


class _InterruptibleGroup(click.Group):
    """Commands that Ctrl-C ends in one line; click itself would say "Aborted!" and exit with 1, as after an error."""

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_if_interrupted("confidnet: interrupted; run the same command again"):
            return super().invoke(ctx)


@click.group(
    cls=_InterruptibleGroup,
    commands=_commands_in_folder(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print version and commit.")
def cli() -> None:
    """Lists what can be run, shows results and experiments, and sends and registers runs. Run it from the project's root.

    DVC runs the pipeline: `dvc repro`, `dvc exp run -S 'run=[mnist_mlp]'`.
    """


def main() -> None:
    try:
        cli()
    except Exception as error:
        from confidnet_core.system.addresses import without_secrets
        from confidnet_core.system.errors import find_disk_error

        problem = find_disk_error(error) or (error if isinstance(error, ValueError) else None)
        if isinstance(error, OSError) and error.filename and problem is None:
            problem = f"{error.filename}: {error.strerror}"
        if problem is None or os.environ.get("CONFIDNET_DEBUG"):
            raise
        from confidnet_core.display import display_text

        addresses = [word for word in sys.argv if "://" in word]
        sys.exit(f"confidnet: {display_text(without_secrets(' '.join(str(problem).split()), *addresses))}")


if __name__ == "__main__":
    main()
