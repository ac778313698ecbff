"""Check params.yaml, and write what a benchmark's stages depend on: python -m stages.sources BENCHMARK

reads   confidnet_core/datasets/, confidnet_core/models/, params.yaml
writes  data/sources/BENCHMARK/{dataset.txt, model.txt, second_model.txt, foreign.txt (hashes of the files of the data sets and models that
        it uses),
        SECTION.json (each section of the benchmark in params.yaml)},
        data/attached/BENCHMARK/{files.json, and links to the weights that it takes from elsewhere},
        data/attached_code/BENCHMARK (a link to the code of one's own that its model comes from, or a short text)

DVC cannot depend on a file whose name is a value in params.yaml, nor on a section that may be absent or another benchmark's, but it can
depend on these files: a new data set or model, or a setting of another section, reruns this stage in a second, and retrains nothing.
"""

from confidnet_core import paths
from confidnet_core.config.params import Benchmark, Params
from confidnet_core.config.recipes import CONFIDENCE_NETWORKS
from confidnet_core.config.registry import entry_attributes, entry_code_digest
from confidnet_core.files import atomic_write, write_json
from stages._attached import weights_path
from stages._attached_links import link_code, link_files, weights_files
from stages._command import run_stage


def main(params: Params, benchmark_name: str) -> None:
    benchmark = params.benchmark(benchmark_name)
    examine_model = entry_attributes("models", [benchmark.model.name], "examine")[benchmark.model.name]

    attached_weights = weights_path(benchmark_name, benchmark)
    messages = examine_model(benchmark.model.settings, attached_weights) if examine_model else []
    if absent_recipes := [recipe for recipe in CONFIDENCE_NETWORKS if getattr(benchmark, recipe) is None]:
        messages.append(f"no recipe {', '.join(absent_recipes)}: not trained, and the scores that read them are left out")
    second_model = benchmark.second_opinion_model
    digest_by_file = {
        "dataset": entry_code_digest("datasets", benchmark.data.name),
        "model": entry_code_digest("models", benchmark.model.name, benchmark.model.settings),
        "second_model": entry_code_digest("models", second_model.name, second_model.settings),
        "foreign": "\n".join(entry_code_digest("datasets", choice.name) for choice in benchmark.foreign.values()),
    }

    link_files(paths.attached_files_folder(benchmark_name), weights_files(benchmark_name, benchmark))
    link_code(paths.attached_code_path(benchmark_name), benchmark)
    with atomic_write(paths.entry_code_digests_folder(benchmark_name)) as temporary_folder:
        temporary_folder.mkdir()
        for file_stem, digest in digest_by_file.items():
            (temporary_folder / f"{file_stem}.txt").write_text(digest + "\n")
        for section in Benchmark.model_fields:
            write_json(temporary_folder / f"{section}.json", params.raw_content["benchmarks"][benchmark_name].get(section))
    for message in messages:
        print(f"{benchmark_name}: {message}")


if __name__ == "__main__":
    run_stage(main, benchmark=str)
