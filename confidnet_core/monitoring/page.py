"""The page of `confidnet watch`: one HTML file without scripts and without a network, light and dark."""

from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader

from confidnet_core.display import display_text
from confidnet_core.evaluation.intervals import exact_binomial_interval
from confidnet_core.files import write_text
from confidnet_core.monitoring import charts
from confidnet_core.monitoring.drift import CLASS_COVERAGE, CLASS_SHARE, CONFIDENCES, COVERAGE
from confidnet_core.monitoring.watching import INTERVAL_LEVEL, Watch, rate_or_none
from confidnet_core.monitoring.words import MAX_NAME, headline, in_words, percent

_SERIES = ((CONFIDENCES, (CONFIDENCES,)), (COVERAGE, (COVERAGE,)), ("classes (the strongest)", (CLASS_SHARE, CLASS_COVERAGE)))


def write_page(watch: Watch, path: Path) -> None:
    """Write the page of these findings to an HTML file, which is complete or absent."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("watch.html").render(
        title=f"Watch: {watch.reference.model_metadata['benchmark']}",
        headline=headline(watch),
        exit_code=watch.exit_code,
        paragraphs=in_words(watch),
        charts=[*_drift_charts(watch), *_guarantee_charts(watch)],
        class_rows=_class_rows(watch),
        box=charts,
    )
    write_text(path, page)


def _drift_charts(watch: Watch) -> list[charts.Chart]:
    drift, names = watch.drift, watch.answers.period_names
    found = []
    if watch.threshold["threshold"] is not None:
        note = "Share of accepted answers in each period, with its 95 % interval; the band is the interval of the calibration data."
        rates = [_rate(int(hits), int(count)) for hits, count in zip(drift.accepted_count, drift.answer_count, strict=True)]
        found.append(charts.rate_chart("Coverage", note, names, rates, watch.expected_coverage, "calibration data"))
    series = []
    for label, kinds in _SERIES:
        of_kind = [question.evidence / question.alarm_evidence for question in drift.questions if question.kind in kinds]
        if of_kind:
            series.append((label, np.max(of_kind, axis=0)))
    note = (
        "Evidence that something changed, divided by what raises an alarm. Once a line has reached 1, the alarm stands. "
        + charts.CUT_OFF_NOTE
    )
    return [*found, charts.evidence_chart("Evidence of drift", note, series, names)]


def _guarantee_charts(watch: Watch) -> list[charts.Chart]:
    guarantee, names = watch.guarantee, watch.answers.period_names
    if guarantee is None or guarantee.accepted == 0:
        return []
    target = watch.threshold["risk"]
    rates = [_rate(int(hits), int(count)) for hits, count in zip(guarantee.errors_by_period, guarantee.accepted_by_period, strict=True)]
    note = "Error rate among accepted answers whose labels have arrived, by the period of the answer, with its 95 % interval."
    evidence_note = (
        "Evidence that the error rate is above the target, divided by what says broken, by the labels that had arrived. "
        + charts.CUT_OFF_NOTE
    )
    look_names = [f"{int(count):,} labels" for count in guarantee.looked_at]
    return [
        charts.rate_chart("Error rate among accepted answers", note, names, rates, (target, target, target), "target"),
        charts.evidence_chart(
            "Evidence against the guarantee", evidence_note, [("errors", guarantee.evidence / guarantee.alarm_evidence)], look_names
        ),
    ]


def _rate(hits: int, count: int) -> tuple[float, float, float] | None:
    """Return a rate with its exact interval; None of nothing."""
    return (hits / count, *exact_binomial_interval(hits / count, count, INTERVAL_LEVEL)) if count else None


def _class_rows(watch: Watch) -> list[dict[str, str]]:
    """Return a row for each class: shares and coverages, expected and seen, and after which period an alarm was raised."""
    rows: dict[str, dict[str, str]] = {}
    for question in watch.drift.questions:
        if question.kind not in (CLASS_SHARE, CLASS_COVERAGE):
            continue
        row, prefix = (
            rows.setdefault(question.class_name, {"name": display_text(question.class_name, MAX_NAME)}),
            question.kind.partition(" ")[0],
        )
        row[f"{prefix}_expected"] = percent(rate_or_none(question.expected_hits, question.expected_count))
        row[f"{prefix}_seen"] = percent(rate_or_none(question.seen_hits, question.seen_count))
        row[f"{prefix}_alarm"] = "" if question.alarm_period is None else watch.answers.period_names[question.alarm_period]
    return list(rows.values())
