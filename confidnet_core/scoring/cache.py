"""`RunCache`, which the Runs of one score share."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunCache:
    """Holds what a score's Run has loaded and computed so far, for all splits: networks, fitted values and cached values."""

    networks: dict[str, Any] = field(default_factory=dict)  # the loaded networks, by their folder in Run.models_folder
    fitted_values: dict[str, Any] = field(default_factory=dict)  # values of Run.fitted, by function and settings
    cached_values: dict[tuple, Any] = field(default_factory=dict)  # values of Run.cached, by function and settings
    fit_seconds: dict[str, float] = field(default_factory=dict)  # duration of each fit, with the keys of fitted_values
