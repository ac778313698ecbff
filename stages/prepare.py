"""Prepare a benchmark's data as arrays that can be memory-mapped: python -m stages.prepare BENCHMARK

reads   $CONFIDNET_DATA/NAME or data/raw/NAME (or downloads), params.yaml
writes  data/prepared/BENCHMARK/{images.npy, labels.npy, split.json, facts.json}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.config.registry import find_entry
from confidnet_core.data import save_dataset
from confidnet_core.splits import add_calibration_split
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage, stage_params


def main(params: Params, name: str) -> None:
    data, calibration_split = params.benchmark(name).data, params.calibration_split
    inputs = stage_params(params, name, "data") | {"calibration_split": dict(calibration_split)}

    with stage_run(stage="prepare", benchmark=name, seed=None, params=inputs) as tracked:
        facts = save_dataset(
            add_calibration_split(find_entry("datasets", data.name)(**data.settings), calibration_split), paths.prepared(name)
        )

        tracked.set_tag("data_source", facts["source"])
        tracked.set_tag("data_sha256", facts["sha256"])
        tracked.log_metrics({f"{split}_samples": count for split, count in facts["samples"].items()})
    print(f"{name}: {facts['samples']} from {facts['source']}")


if __name__ == "__main__":
    run_stage(main, benchmark=str)
