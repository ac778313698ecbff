"""Published data sets for tests: looked for in the folder that CONFIDNET_DATA names, then in ../shared/data of the project."""

import os
from pathlib import Path

import pytest
from project_code import ROOT

# Read when the tests are collected: many of them change the variable later.
FOLDERS = [Path(folder) for folder in (os.environ.get("CONFIDNET_DATA"), ROOT.parent / "shared" / "data") if folder]


def data_folder(name: str) -> Path:
    """The first of the folders that holds NAME, a file or a folder; if none does, the first of all."""
    return next((folder for folder in FOLDERS if (folder / name).exists()), FOLDERS[0])


def needs(title: str, name: str) -> pytest.MarkDecorator:
    """Skips a test where no folder holds NAME, and says how to bring the data. name: with a slash at its end if it is a folder."""
    found = (data_folder(name) / name).exists()
    return pytest.mark.skipif(not found, reason=f"needs {title}: set CONFIDNET_DATA to a folder that holds {name}")
