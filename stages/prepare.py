"""Prepare a benchmark's data as arrays that can be memory-mapped: python -m stages.prepare BENCHMARK

reads   $CONFIDNET_DATA/NAME or data/raw/NAME (or downloads), params.yaml
writes  data/prepared/BENCHMARK/{images.npy, labels.npy, split.json, facts.json}
"""

import sys

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.config.registry import find_entry
from confidnet_core.data import save_dataset, warning_sentences
from confidnet_core.display import display_text
from confidnet_core.splits import add_calibration_split
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage, stage_params


def main(params: Params, benchmark_name: str) -> None:
    dataset_choice, calibration_split = params.benchmark(benchmark_name).data, params.calibration_split
    logged_params = stage_params(params, benchmark_name, "data") | {"calibration_split": dict(calibration_split)}

    with stage_run(stage="prepare", benchmark=benchmark_name, seed=None, params=logged_params) as tracked:
        dataset = add_calibration_split(find_entry("datasets", dataset_choice.name)(**dataset_choice.settings), calibration_split)
        dataset_metadata = save_dataset(dataset, paths.prepared_data_folder(benchmark_name))

        tracked.set_tag("data_source", dataset_metadata["source"])
        tracked.set_tag("data_sha256", dataset_metadata["sha256"])
        tracked.log_metrics({f"{split}_samples": sample_count for split, sample_count in dataset_metadata["samples"].items()})
    for sentence in warning_sentences(paths.prepared_data_folder(benchmark_name)):
        print(f"WARNING {benchmark_name}: {display_text(sentence)}", file=sys.stderr)
    print(f"{benchmark_name}: {dataset_metadata['samples']} from {dataset_metadata['source']}")


if __name__ == "__main__":
    run_stage(main, benchmark=str)
