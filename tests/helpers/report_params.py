"""The params.yaml of a report for tests: which methods, benchmarks and seeds are shown side by side."""

from confidnet_core.config.params import Bootstrap, CalibrationSplit, Params, Thresholds

METHODS = {"mcp": {}, "margin": {}, "trust_score": {"samples_per_class": 20}, "tcp": {}}


def params(methods: dict[str, dict] = METHODS, run: tuple[str, ...] = ("digits", "segmentation"), seeds: tuple[int, ...] = (0,)) -> Params:
    how = {"calibration_split": CalibrationSplit(share=0.3333, gap=0.05, seed=0), "bootstrap": Bootstrap(resamples=200, level=0.95, seed=0)}
    how["thresholds"] = Thresholds(risks=(0.05, 0.5), serve=0.5, delta=0.1)
    return Params.model_construct(run=run, seeds=seeds, methods=methods, **how, against=("mcp", "entropy"), benchmarks={})
