"""References to another benchmark in params.yaml: `like: NAME` takes the sections that a benchmark does not name itself, and
`foreign: {...: {benchmark: NAME}}` takes the images of another one as foreign images.
"""

from typing import Any

from confidnet_core.config.registry import suggestion
from confidnet_core.config.section import validation_error

LIKE_KEY = "like"
FOREIGN_KEY, BENCHMARK_KEY = "foreign", "benchmark"
ENTRY_SECTIONS = ("data", "model")  # which belong together as a whole: settings of another data set or model would not fit


def resolve_references(raw_params: Any) -> Any:
    """Return the content of params.yaml in which no benchmark refers to another, and those that did hold the other's sections.

    A recipe that a benchmark names in part takes the keys that it leaves out from the other's recipe of this name; data and model are taken
    as a whole, and so is a baseline with weights. Under `foreign`, {benchmark: NAME} becomes the data of that benchmark.
    raw_params: unchecked content, which is left unchanged. Raises ValueError for an unknown benchmark, and for benchmarks that are like
    each other in a circle.
    """
    raw_benchmarks = raw_params.get("benchmarks") if isinstance(raw_params, dict) else None
    if not isinstance(raw_benchmarks, dict) or not any(
        isinstance(raw, dict) and raw.keys() & {LIKE_KEY, FOREIGN_KEY} for raw in raw_benchmarks.values()
    ):
        return raw_params
    benchmarks = {name: _resolve(name, raw_benchmarks, ()) for name in raw_benchmarks}
    return raw_params | {"benchmarks": {name: _with_foreign_data(name, benchmarks) for name in benchmarks}}


def _with_foreign_data(name: str, raw_benchmarks: dict[str, Any]) -> Any:
    """Return a benchmark whose foreign images are those of data sets, and of no benchmark."""
    raw_benchmark = raw_benchmarks[name]
    raw_foreign = raw_benchmark.get(FOREIGN_KEY) if isinstance(raw_benchmark, dict) else None
    if not isinstance(raw_foreign, dict):
        return raw_benchmark
    return raw_benchmark | {
        FOREIGN_KEY: {
            foreign_name: _data_of_benchmark(f"benchmarks.{name}.{FOREIGN_KEY}.{foreign_name}", content, raw_benchmarks)
            for foreign_name, content in raw_foreign.items()
        }
    }


def _data_of_benchmark(key: str, raw_content: Any, raw_benchmarks: dict[str, Any]) -> Any:
    """Return {benchmark: NAME} as the section `data` of that benchmark; other content as it is."""
    if not isinstance(raw_content, dict) or BENCHMARK_KEY not in raw_content:
        return raw_content
    other_name = raw_content[BENCHMARK_KEY]
    if other_name not in raw_benchmarks:
        problem = f"names {other_name}, which is not under benchmarks{suggestion(other_name, raw_benchmarks)}"
        raise validation_error(f"{key}.{BENCHMARK_KEY}", problem)
    if len(raw_content) > 1:
        raise validation_error(key, f"has {BENCHMARK_KEY} and other keys; give one of them: the data of a benchmark is taken as a whole")
    other_benchmark = raw_benchmarks[other_name]
    return other_benchmark.get("data") if isinstance(other_benchmark, dict) else None


def _resolve(name: str, raw_benchmarks: dict[str, Any], names_before: tuple[str, ...]) -> Any:
    raw_benchmark = raw_benchmarks[name]
    if not isinstance(raw_benchmark, dict) or LIKE_KEY not in raw_benchmark:
        return raw_benchmark
    other_name, key = raw_benchmark[LIKE_KEY], f"benchmarks.{name}.{LIKE_KEY}"
    if other_name not in raw_benchmarks:
        raise validation_error(key, f"names {other_name}, which is not under benchmarks{suggestion(other_name, raw_benchmarks)}")
    if other_name in (name, *names_before):
        raise validation_error(key, f"names {other_name}, which is itself like {name}; name a benchmark with recipes of its own")
    other_benchmark = _resolve(other_name, raw_benchmarks, (*names_before, name))
    own_sections = {section: content for section, content in raw_benchmark.items() if section != LIKE_KEY}
    if not isinstance(other_benchmark, dict):
        return own_sections
    return other_benchmark | {section: _merge(section, content, other_benchmark.get(section)) for section, content in own_sections.items()}


def _merge(section: str, own_content: Any, other_content: Any) -> Any:
    """Return a section of a benchmark, with the keys of the other's section that it leaves out where it is a recipe."""
    is_recipe = section not in ENTRY_SECTIONS and isinstance(own_content, dict) and isinstance(other_content, dict)
    is_whole = is_recipe and ("weights" in own_content or "weights" in other_content)
    return other_content | own_content if is_recipe and not is_whole else own_content
