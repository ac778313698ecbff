"""Tests run from the project's root, whatever folder pytest was started in."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
