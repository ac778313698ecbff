"""What the three training stages share: a resumable training that an MLflow run follows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confidnet_core.data import Dataset
from confidnet_core.device import device
from confidnet_core.files import read_json, write_json
from confidnet_core.recipes import Recipe
from confidnet_core.resume import resumable
from confidnet_core.revision import stage_code
from confidnet_core.tracking import StageRun, stage_run
from confidnet_core.training import Training


@contextmanager
def training_of(
    stage: str, name: str, seed: int, dataset: Dataset, recipe: Recipe, inputs: dict, **upstream: str
) -> Iterator[tuple[Training, StageRun, dict]]:
    """The training, its run, and the origin that model.json states of its network; the first two go on where an interrupted process
    with the same inputs left them.

    inputs: the sections of params.yaml; upstream: digests of the networks that it starts from.
    """
    sha256 = read_json(Path("data/prepared") / name / "facts.json")["sha256"]
    code = stage_code(stage, inputs["model"]["name"])
    origin = {"params": inputs, "seed": seed, "data_sha256": sha256, "data_source": dataset.source, "code": code}
    where = device()
    with resumable(stage, {"params": inputs, "seed": seed, "data": sha256, "device": where.type, **upstream}) as resume:
        remembered = resume.folder / "mlflow.json"
        resume_id = read_json(remembered)["run_id"] if remembered.exists() else None
        with stage_run(stage=stage, benchmark=name, seed=seed, params=inputs, resume_id=resume_id) as run:
            write_json(remembered, {"run_id": run.run_id})
            yield Training(stage, dataset, recipe, seed, where, resume, run.log_metrics), run, origin
