"""The findings about a model in use in plain words, and what they do not say."""

from confidnet_core.display import display_text
from confidnet_core.monitoring.drift import CLASS_COVERAGE, CLASS_SHARE, CONFIDENCES, COVERAGE, Question
from confidnet_core.monitoring.guarantee import BROKEN, KEPT
from confidnet_core.monitoring.watching import Watch, rate_or_none

MAX_CLASSES_NAMED = 5
MAX_NAME = 60  # characters of the name of a class
DRIFT_IS_NO_HARM = (
    "An alarm says that the new images are not like the calibration data: the expected coverage and the guarantee no longer apply to "
    "them. It does not say that more answers are wrong."
)
NO_LABELS = "No labels were given, so nobody knows the error rate of these answers; --labels takes those of a random part of them."


def in_words(watch: Watch) -> list[str]:
    """Return the findings as paragraphs: model and answers, drift, and the guarantee."""
    return [_subject(watch), *_drift_lines(watch), *_guarantee_lines(watch)]


def headline(watch: Watch) -> str:
    """Return the findings in one sentence."""
    first = watch.drift.alarms[0] if watch.drift.alarms else None
    drift = f"drift found, first after {watch.answers.period_names[first.alarm_period or 0]}" if first else "no drift found"
    guarantee = f"guarantee {watch.guarantee.verdict}" if watch.guarantee else "error rate unknown without labels"
    return f"{drift}; {guarantee}".capitalize()


def percent(rate: float | None) -> str:
    """Return a fraction as "88.9 %", and a dash for None."""
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _subject(watch: Watch) -> str:
    metadata, names = watch.reference.model_metadata, watch.answers.period_names
    periods = f"{names[0]} to {names[-1]}, {len(names):,} periods" if len(names) > 1 else names[0]
    return (
        f"{metadata['benchmark']}, score {metadata['method']}, target risk {percent(watch.threshold['risk'])}: "
        f"{len(watch.answers.confidence):,} answers ({periods}), compared with {len(watch.reference.confidence):,} calibration samples."
    )


def _drift_lines(watch: Watch) -> list[str]:
    drift = watch.drift
    lines = [
        "Drift: found."
        if drift.alarms
        else f"Drift: none found. (A false alarm, ever, has a probability of at most {percent(watch.false_alarms)}.)"
    ]
    lines += [f"- {_question_in_words(question, watch)}" for question in drift.questions if question.kind in (CONFIDENCES, COVERAGE)]
    class_alarms = [question for question in drift.alarms if question.kind in (CLASS_SHARE, CLASS_COVERAGE)]
    lines += [f"- {_question_in_words(question, watch)}" for question in class_alarms[:MAX_CLASSES_NAMED]]
    if len(class_alarms) > MAX_CLASSES_NAMED:
        lines.append(f"- and {len(class_alarms) - MAX_CLASSES_NAMED:,} more findings about classes; --json and --page list them all")
    if not class_alarms:
        lines.append("- classes: no share and no coverage of a class is found to have changed")
    if watch.threshold["threshold"] is None:
        lines.append(f"- coverage: nothing is accepted at this target risk, since {watch.threshold['reason']}")
    return [*lines, *([DRIFT_IS_NO_HARM] if drift.alarms else [])]


def _question_in_words(question: Question, watch: Watch) -> str:
    since = "" if question.alarm_period is None else f", found after {watch.answers.period_names[question.alarm_period]}"
    evidence = f"evidence up to {_evidence(question.evidence.max())}, alarm at {_evidence(question.alarm_evidence)}{since}"
    seen = percent(rate_or_none(question.seen_hits, question.seen_count))
    expected = percent(rate_or_none(question.expected_hits, question.expected_count))
    if question.kind == CONFIDENCES:
        comparison = "other than" if since else "like"
        return (
            f"confidences: {comparison} those of the calibration data, distributions differ by up to {watch.drift.distance:.2f}; {evidence}"
        )
    if question.kind == COVERAGE:
        _, low, high = watch.expected_coverage
        last = percent(rate_or_none(int(watch.drift.accepted_count[-1]), int(watch.drift.answer_count[-1])))
        seen_last = f" ({last} in {watch.answers.period_names[-1]})" if len(watch.answers.period_names) > 1 else ""
        return f"coverage: {expected} expected ({100 * low:.1f} to {100 * high:.1f}), {seen} seen{seen_last}; {evidence}"
    class_name = display_text(question.class_name, MAX_NAME)
    name = f"share of {class_name}" if question.kind == CLASS_SHARE else f"coverage of {class_name}"
    return f"{name}: {expected} in the calibration data, {seen} seen; {evidence}"


def _guarantee_lines(watch: Watch) -> list[str]:
    guarantee, target = watch.guarantee, percent(watch.threshold["risk"])
    if guarantee is None:
        return [NO_LABELS]
    wrong = f"{guarantee.errors:,} of {guarantee.accepted:,} accepted answers with labels {_is_or_are(guarantee.errors)} wrong"
    risk = percent(rate_or_none(guarantee.errors, guarantee.accepted))
    explanation = {
        BROKEN: f"Were every accepted answer wrong with at most {target}, this verdict would ever come with a probability of at most "
        f"{percent(watch.false_alarms)}.",
        KEPT: f"The error rate is at most {percent(guarantee.upper_bound)}, at confidence {percent(1 - watch.false_alarms)}, however often "
        "this is asked.",
    }.get(
        guarantee.verdict,
        f"The error rate may be as high as {percent(guarantee.upper_bound)}: more labels decide between kept and broken.",
    )
    lines = [f"Guarantee: {guarantee.verdict}. {wrong} ({risk}; target {target}). {explanation}"]
    if guarantee.rejected:
        are = _is_or_are(guarantee.rejected_errors)
        lines.append(f"Of {guarantee.rejected:,} rejected answers with labels, {guarantee.rejected_errors:,} {are} wrong.")
    if watch.drift.alarms and guarantee.verdict != BROKEN:
        lines.append("The labels do not show that drift did harm." if guarantee.verdict == KEPT else "Whether drift did harm is open.")
    return lines


def _is_or_are(count: int) -> str:
    return "is" if count == 1 else "are"


def _evidence(value: float) -> str:
    """Return evidence to two digits: "0.31", "40", "5,100", "3e+12"."""
    return f"{value:.0e}" if value >= 1e6 else f"{float(f'{value:.2g}'):,.6g}"
