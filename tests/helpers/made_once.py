"""Folders that take long to make, made once in a test session for all of pytest's workers, each of which works on a copy."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def copy_of(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object], folder: Path) -> Path:
    """FOLDER, with a copy of what MAKE(folder) has made. name: of the folder, one for each MAKE"""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{shared}.lock"):  # pytest's other workers wait for the one that makes it
        if not shared.exists():
            made = shared.with_name(f"{name}_in_the_making")
            shutil.rmtree(made, ignore_errors=True)
            make(made)
            made.rename(shared)
    return Path(shutil.copytree(shared, folder, symlinks=True, dirs_exist_ok=True))
