"""Write digests of what each score reads, so that a change reruns only the scores that read it: python -m stages.inputs BENCHMARK SEED

reads   data/samples/BENCHMARK/seedSEED/, models/BENCHMARK/seedSEED/confidnet/{weights.pt, model.json},
        models/BENCHMARK/seedSEED/finetune/{weights.pt, model.json}, models/BENCHMARK/seedSEED/corrected_mcp/{weights.pt, model.json},
        params.yaml
writes  data/inputs/BENCHMARK/seedSEED/{METHOD.json}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.scoring.inputs import save_input_digests
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int) -> None:
    params.benchmark(benchmark_name)

    save_input_digests(paths.input_digests_path(benchmark_name, seed, "").parent, params.methods, benchmark_name, seed)


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
