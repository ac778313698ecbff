"""The md5 that tracking gives outputs is the one that DVC's lock has, of files and folders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from confidnet_core.tracking.dvc_outputs import dvc_md5, stage_output_paths
from confidnet_core.tracking.stage_run import stage_run

SCRIPT = """
from pathlib import Path
for name, content in {"made/a.csv": b"1,2\\r\\n", "made/deep/\\u00e9 b.bin": bytes(range(256)) * 9000, "made.txt": b"text"}.items():
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content)
"""


@pytest.mark.slow
def test_files_and_folders_have_the_md5_of_dvc_lock(tmp_path: Path) -> None:
    (tmp_path / "make.py").write_text(SCRIPT)
    (tmp_path / "dvc.yaml").write_text("stages:\n  make:\n    cmd: python make.py\n    outs: [made, made.txt]\n")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    for arguments in (["init", "--no-scm"], ["repro"]):
        subprocess.run(["dvc", *arguments], cwd=tmp_path, env=environment, check=True, capture_output=True)
    locked = YAML(typ="safe").load(tmp_path / "dvc.lock")["stages"]["make"]["outs"]
    assert {out["path"]: out["md5"] for out in locked} == {name: dvc_md5(tmp_path / name) for name in ("made", "made.txt")}
    assert dvc_md5(tmp_path / "made").endswith(".dir")


def test_a_stage_has_the_outputs_that_dvc_yaml_lists_for_it() -> None:
    assert stage_output_paths("evaluate", benchmark="digits", seed=3, method="mcp") == ["data/scores/digits/seed3/mcp"]
    assert "reports/index.html" in stage_output_paths("compare", benchmark="digits", seed=None, method=None)
    assert stage_output_paths("no_stage", benchmark="digits", seed=None, method=None) == []


def test_a_finished_stage_says_the_md5_of_what_it_wrote(root: Path) -> None:
    weights = Path("models/digits/seed0/baseline/weights.pt")
    with stage_run(stage="train_baseline", benchmark="digits", seed=0, params={}) as run:
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"weights")
    (found,) = run._nested_run.mlflow_client.search_runs(
        [run._nested_run.stage_run.info.experiment_id], f"tags.`dvc.md5.{weights.parent}` = '{dvc_md5(weights.parent)}'"
    )
    assert found.info.run_id == run.run_id
    with pytest.raises(RuntimeError), stage_run(stage="train_baseline", benchmark="digits", seed=0, params={}) as failed:
        raise RuntimeError("no")
    assert not [key for key in run._nested_run.mlflow_client.get_run(failed.run_id).data.tags if key.startswith("dvc.md5.")]
