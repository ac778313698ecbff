"""How the four training stages train: resumable, followed by an MLflow run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.files import read_json, write_json
from confidnet_core.networks.artifacts import weights_digest
from confidnet_core.networks.device import device
from confidnet_core.revision import stage_code
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.training.resume import resumable
from confidnet_core.training.trainings import Training
from stages._command import stage_params
from stages._networks import Networks


@contextmanager
def training_of(stage: str, params: Params, name: str, seed: int, section: str, *upstream: str) -> Iterator[Networks]:
    """Training and run go on where an interrupted process with the same inputs left them.

    section: the recipe's name in params.yaml; upstream: the networks that the training starts from, as their folders are called
    """
    benchmark, dataset = params.benchmark(name), load_dataset(Path("data/prepared") / name)
    inputs, folder = stage_params(params, name, "data", "model", section), Path("models") / name / f"seed{seed}"
    sha256 = read_json(Path("data/prepared") / name / "facts.json")["sha256"]
    digests = {part: weights_digest(folder / part) for part in upstream}
    code = stage_code(stage, inputs["model"]["name"])
    origin = {"params": inputs, "seed": seed, "data_sha256": sha256, "data_source": dataset.source, "code": code}
    origin |= {"upstream_sha256": digests} if digests else {}
    where = device()
    with resumable(stage, {"params": inputs, "seed": seed, "data": sha256, "device": where.type, "code": code, **digests}) as resume:
        remembered = resume.folder / "mlflow.json"
        resume_id = read_json(remembered)["run_id"] if remembered.exists() else None
        with stage_run(stage=stage, benchmark=name, seed=seed, params=inputs, resume_id=resume_id) as run:
            write_json(remembered, {"run_id": run.run_id})
            training = Training(stage, dataset, getattr(benchmark, section), seed, where, resume, run.log_metrics)
            yield Networks(benchmark, training, run, folder, origin)
