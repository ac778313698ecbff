"""Write digests of what each score reads, so that a change reruns only the scores that read it: python -m stages.inputs BENCHMARK SEED

reads   data/prepared/BENCHMARK/facts.json, data/samples/BENCHMARK/seedSEED/, models/BENCHMARK/seedSEED/confidnet/{weights.pt, model.json},
        models/BENCHMARK/seedSEED/finetune/{weights.pt, model.json}, models/BENCHMARK/seedSEED/corrected_mcp/{weights.pt, model.json},
        models/BENCHMARK/seedSEED/finetune_augmented/{weights.pt, model.json},
        models/BENCHMARK/seedSEED/second_opinion/{weights.pt, model.json}, params.yaml
writes  data/inputs/BENCHMARK/seedSEED/{METHOD.json}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.evaluation.left_out import left_out_lines
from confidnet_core.scoring.inputs import save_input_digests
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int) -> None:
    params.benchmark(benchmark_name)

    inputs_folder = paths.input_digests_path(benchmark_name, seed, "").parent
    reason_of_method = save_input_digests(inputs_folder, params.methods, benchmark_name, seed)
    for line in left_out_lines(reason_of_method):
        print(f"{benchmark_name} seed {seed}: {line}")


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
