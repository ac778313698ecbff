"""Check params.yaml, and hash the code of a benchmark's data set and model: python -m stages.sources BENCHMARK

reads   confidnet_core/datasets/, confidnet_core/models/, params.yaml
writes  data/sources/BENCHMARK/{dataset,model}.txt, hashes of the one data set and the one model file that it uses

DVC cannot depend on a file whose name is a value in params.yaml, but it can depend on these hashes: a new data set or model in those
folders reruns this stage in a second, changes neither hash, and so retrains nothing.
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_code_digest
from confidnet_core.files import atomic_write
from stages._command import run_stage


def main(params: Params, benchmark_name: str) -> None:
    benchmark = params.benchmark(benchmark_name)

    digest_by_file = {
        "dataset": entry_code_digest("datasets", benchmark.data.name),
        "model": entry_code_digest("models", benchmark.model.name),
    }

    with atomic_write(paths.entry_code_digests_folder(benchmark_name)) as temporary_folder:
        temporary_folder.mkdir()
        for file_stem, digest in digest_by_file.items():
            (temporary_folder / f"{file_stem}.txt").write_text(digest + "\n")


if __name__ == "__main__":
    run_stage(main, benchmark=str)
