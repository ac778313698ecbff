"""A model named by a folder: with the packed files themselves, or as MLflow stores them."""

from pathlib import Path

import pytest
from watched import model

from confidnet_core.serving.locating import locate_model


def test_a_folder_is_a_model_itself_or_holds_one_as_mlflow_stores_it(tmp_path: Path):
    packed = model(tmp_path / "stored/data/packed")
    (tmp_path / "stored/MLmodel").write_text("flavors:\n  python_function: {data: data/packed, loader_module: any}\n")
    for folder in (packed, tmp_path / "stored"):
        with locate_model(str(folder)) as found:
            assert found == packed and found.is_dir()


@pytest.mark.parametrize("description", [None, "flavors: {}\n", "flavors:\n  python_function: {data: nowhere}\n"])
def test_a_folder_without_a_model_is_refused(tmp_path: Path, description: str | None):
    if description:
        (tmp_path / "MLmodel").write_text(description)
    with (
        pytest.raises(ValueError, match=r"holds no model of this project .* expected a folder with MLmodel or model\.json"),
        locate_model(str(tmp_path)),
    ):
        pass
