"""The trainings epoch by epoch: tidy rows of every history, thinned, with the epoch that was kept."""

from pathlib import Path

import pandas as pd
import pytest

from confidnet_core import paths
from confidnet_core.networks.artifacts import save_history
from confidnet_core.reporting.histories import HISTORY_COLUMNS, TRAINING_NAMES, history_rows

RANKED = {"val_aupr_error": 0.25, "val_auroc": 0.5}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for training in TRAINING_NAMES:
        store(training, [{"epoch": 1, "learning_rate": 0.1, "train_loss": 2.0, "val_loss": 3.0, "val_accuracy": 0.5}], best_epoch=1)


def store(training: str, history: list[dict], best_epoch: int | None = None) -> None:
    save_history(paths.history_path("small", 3, training), history, best_epoch)


def rows(training: str, quantity: str, **options: int) -> pd.DataFrame:
    found = [each for name, each in history_rows("small", 3, **options) if name == quantity]
    return pd.concat(each for each in found if (each["training"] == training).all() and len(each))


def test_each_training_has_its_losses_and_its_validation_metrics():
    found = list(history_rows("small", 3))
    assert [name for name, _ in found] == ["losses", "validation"] * len(TRAINING_NAMES)
    assert [each["training"].unique().tolist() for _, each in found[::2]] == [[name] for name in TRAINING_NAMES]
    assert all(list(each.columns) == HISTORY_COLUMNS for _, each in found)
    assert rows("baseline", "losses").to_numpy().tolist() == [
        ["small", 3, "baseline", 1, "train", 2.0, 1],
        ["small", 3, "baseline", 1, "validation", 3.0, 1],
    ]
    assert rows("baseline", "validation").to_numpy().tolist() == [["small", 3, "baseline", 1, "accuracy", 0.5, 1]]


def test_what_is_undefined_and_what_is_no_metric_is_left_out():
    store("corrected_mcp", [{"epoch": 0, "averaged_epochs": 0, "train_loss": None, "val_loss": 1.0, **RANKED}], best_epoch=0)
    assert rows("corrected_mcp", "losses")["metric"].tolist() == ["validation"]
    assert rows("corrected_mcp", "validation")["metric"].tolist() == ["aupr_error", "auroc"]


def test_a_long_training_is_thinned_with_its_ends_and_the_kept_epoch():
    store("confidnet", [{"epoch": epoch, "train_loss": 1 / epoch, "val_loss": 1.0, **RANKED} for epoch in range(1, 1001)], best_epoch=777)
    found = rows("confidnet", "losses", max_history_epochs=50)
    train = found[found["metric"] == "train"]
    assert 49 <= len(train) <= 50 and [train["epoch"].iloc[0], train["epoch"].iloc[-1]] == [1, 1000]
    assert train.loc[train["kept"] == 1, "epoch"].tolist() == [777]
    assert train["value"].tolist() == pytest.approx((1 / train["epoch"]).tolist())


def test_an_imported_network_has_what_its_row_says_and_no_kept_epoch():
    store("finetune", [{"epoch": 11, **RANKED}])
    assert rows("finetune", "validation")["kept"].tolist() == [0, 0]
    assert all(len(each) == 0 for name, each in history_rows("small", 3) if name == "losses" and "finetune" in set(each["training"]))


def test_a_missing_history_is_named():
    paths.history_path("small", 3, "confidnet").unlink()
    with pytest.raises(ValueError, match=r"data/histories/small/seed3/confidnet\.csv does not exist; `dvc repro` makes it"):
        list(history_rows("small", 3))
