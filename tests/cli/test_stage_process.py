"""What the process of a stage says of paths that cannot be: one line with what is in the way, and no traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from confidnet_core.cli.stage_process import errors_in_one_line
from confidnet_core.system.leftovers import remove_dead_temporaries


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Path.touch, "Not a directory"), (lambda path: path.symlink_to("models"), "Too many levels of symbolic links")],
)
def test_what_is_in_the_way_of_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONFIDNET_DEBUG", raising=False)
    make(Path("models"))
    with pytest.raises(SystemExit) as caught, errors_in_one_line("train_baseline"):
        remove_dead_temporaries(Path("models/digits"))
    assert caught.value.code == (
        f"train_baseline: models is in the way of models/digits ({reason}); move or rename it, then run the same command again"
    )


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught, errors_in_one_line("prepare"):
        (tmp_path / ("a" * 300)).stat()
    assert "(File name too long)" in str(caught.value.code) and "\n" not in str(caught.value.code)


def test_an_error_of_the_code_keeps_its_traceback() -> None:
    with pytest.raises(ConnectionResetError), errors_in_one_line("prepare"):
        raise ConnectionResetError(104, "Connection reset by peer")
