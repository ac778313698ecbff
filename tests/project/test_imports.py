"""What is imported before any work is done: slow packages only by what needs them. benchmarks/imports.py says how long it takes."""

import subprocess
import sys

import pytest
from project_code import ROOT

from benchmarks.imports import SLOW_PACKAGES, imported_packages


@pytest.mark.parametrize("arguments", [(), ("--help",), ("show", "--help"), ("predict", "--help"), ("list", "methods"), ("list", "models")])
def test_help_and_lists_import_no_slow_package(arguments: tuple[str, ...]):
    assert imported_packages("confidnet_core", *arguments) == []


def test_the_table_of_results_needs_pandas_but_no_network_no_store_and_no_chart():
    assert imported_packages("confidnet_core", "show") == ["pandas"]


@pytest.mark.parametrize(
    ("stage", "packages"), [("sources", []), ("prepare", []), ("inputs", []), ("bootstrap", []), ("evaluate", ["torch"])]
)
def test_a_stage_imports_what_it_computes_with(stage: str, packages: list[str]):
    script = f"import sys, stages.{stage}; print(*[name for name in {SLOW_PACKAGES} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == packages
