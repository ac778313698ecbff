"""Train a head that corrects the frozen classifier's MCP: python -m stages.train_corrected_mcp BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml
writes  models/BENCHMARK/seedSEED/corrected_mcp/{weights.pt (head), model.json, origin.json},
        data/histories/BENCHMARK/seedSEED/corrected_mcp.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_corrected_mcp
from confidnet_core.training.trainings import train_corrected_mcp
from stages._command import run_stage
from stages._training import is_left_out, training_job


def main(params: Params, benchmark_name: str, seed: int) -> None:
    if is_left_out(params, benchmark_name, seed, "corrected_mcp"):
        return
    with training_job("train_corrected_mcp", params, benchmark_name, seed, "corrected_mcp", "baseline") as (job, _):
        classifier = job.load_classifier()
        torch.manual_seed(seed)
        corrected_mcp = build_corrected_mcp(classifier, job.training.recipe, job.training.dataset)
        training_state = train_corrected_mcp(corrected_mcp, job.training)

        job.save("corrected_mcp", corrected_mcp.head.state_dict(), training_state)


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int)
