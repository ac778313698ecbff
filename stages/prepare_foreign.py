"""Prepare images that are foreign to a benchmark, in the size of its own: python -m stages.prepare_foreign BENCHMARK

reads   data/prepared/BENCHMARK/facts.json, $CONFIDNET_DATA/NAME or data/raw/NAME (or downloads), params.yaml;
        data/sources/BENCHMARK/foreign.txt (code of the data sets)
writes  data/foreign/BENCHMARK/{facts.json, and NAME.npy for each data set under `foreign`}
"""

import sys

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.config.registry import find_entry
from confidnet_core.datasets._foreign import save_foreign_images
from confidnet_core.display import display_text
from confidnet_core.files import read_json
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage, stage_params


def main(params: Params, benchmark_name: str) -> None:
    benchmark, foreign_folder = params.benchmark(benchmark_name), paths.foreign_images_folder(benchmark_name)
    if not benchmark.foreign:
        return save_foreign_images(foreign_folder, {}, (0, 0, 0))
    image_shape = tuple(read_json(paths.prepared_data_folder(benchmark_name) / "facts.json")["image_shape"])
    logged_params = stage_params(params, benchmark_name, "foreign")

    with stage_run(stage="prepare_foreign", benchmark=benchmark_name, seed=None, params=logged_params, deferred=True) as tracked:
        datasets = (
            (name, find_entry("datasets", data_set_choice.name)(**data_set_choice.settings))
            for name, data_set_choice in benchmark.foreign.items()
        )
        save_foreign_images(foreign_folder, datasets, image_shape)

        facts_by_name = read_json(foreign_folder / "facts.json")
        tracked.log_metrics({f"{name}_images": facts["images"] for name, facts in facts_by_name.items()})
    for name, facts in facts_by_name.items():
        print(f"{benchmark_name}: {facts['images']:,} foreign images, {name}, from {facts['source']}")
        for sentence in facts["notes"]:
            print(f"WARNING {benchmark_name}: foreign.{name}: {display_text(sentence)}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main, benchmark=str)
