"""Ctrl-C ends a stage and a command in one line, with the exit code 130, while libraries are imported and later."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from project_code import ROOT

from confidnet_core.system.interruption import one_line_if_interrupted

LINE = "interrupted; run the same command again"


def test_ctrl_c_is_one_line_after_all_has_cleaned_up(capsys: pytest.CaptureFixture):
    cleaned, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as caught, one_line_if_interrupted(LINE):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            cleaned.append(True)
    assert (caught.value.code, cleaned, capsys.readouterr().err) == (130, [True], f"{LINE}\n")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_that_a_library_hides_behind_its_own_error_is_still_one(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as caught, one_line_if_interrupted(LINE):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ImportError("cannot load module more than once per process") from None
    assert (caught.value.code, capsys.readouterr().err) == (130, f"{LINE}\n")


def test_other_errors_and_exits_pass(capsys: pytest.CaptureFixture):
    for error in (ValueError("no"), SystemExit(3)):
        with pytest.raises(type(error)), one_line_if_interrupted(LINE):
            raise error
    assert capsys.readouterr().err == ""


def test_outside_the_main_thread_signals_stay_as_they_are():
    found = []

    def work() -> None:
        with one_line_if_interrupted(LINE):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]


def interrupted(folder: Path, *words: str, wait_for: str) -> tuple[int, str]:
    """Exit code and stderr of a process that gets SIGINT as soon as it has imported the module WAIT_FOR."""
    script = (
        "import os, runpy, signal, sys, threading, time\n"
        "def interrupt():\n"
        f"    while {wait_for!r} not in sys.modules: time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt, daemon=True).start()\n"
        f"sys.argv = ['-m', *{words[1:]!r}]\n"
        f"runpy.run_module({words[0]!r}, run_name='__main__', alter_sys=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CONFIDNET_DEVICE": "cpu"}
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wait_for", ["numpy", "torch.nn", "confidnet_core.config.params"])
def test_a_stage_that_is_interrupted_while_its_libraries_are_imported_says_one_line(tmp_path: Path, wait_for: str):
    assert interrupted(tmp_path, "stages.train_confidnet", "digits", "0", wait_for=wait_for) == (
        130,
        f"train_confidnet: {LINE}, it goes on\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("wait_for", ["numpy", "torch.nn"])
def test_a_command_that_is_interrupted_says_one_line(tmp_path: Path, wait_for: str):
    assert interrupted(tmp_path, "confidnet_core", "predict", "digits", "a.png", wait_for=wait_for) == (130, f"confidnet: {LINE}\n")


def test_a_stage_without_the_environment_names_the_missing_module_and_the_remedy(tmp_path: Path):
    words = [sys.executable, "-S", "-m", "stages.sources", "digits"]  # -S: without the packages of the environment
    done = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("sources: ") and " has no module " in line
    assert line.endswith("activate the environment with `. .venv/bin/activate`, or use `make repro`, which does")
