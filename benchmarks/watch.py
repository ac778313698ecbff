"""How often `confidnet watch` raises a false alarm over many days, and how soon it finds a change.

OMP_NUM_THREADS=1 python -m benchmarks.watch [--repetitions 1000] [--with-change 200] [--days 60] [--change 31] [--seed 0]

Each repetition draws 400 validation and n calibration samples, chooses the threshold for a target risk of 5 % on them, as the stage
`thresholds` does, and draws 100 answers a day. Confidences are normal, of errors with a lower mean; the classes are ten, equally
frequent. "alarm" is the share of the repetitions in which it is raised within all days, at 5 % false alarms over the whole time, and
"days" the median number of days from the change to the alarm, those without an alarm counted as later than all.

The second table is about labels: a tenth of the answers is labelled, at random. Where the risk of the accepted answers is exactly
the target, "broken" is a false alarm.
"""

import argparse
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq

from benchmarks.guarantee import NORMAL
from confidnet_core.metrics.guarantee import threshold_with_guarantee
from confidnet_core.monitoring.answers import Answers, Labels
from confidnet_core.monitoring.drift import find_drift
from confidnet_core.monitoring.guarantee import BROKEN, KEPT, judge_guarantee
from confidnet_core.monitoring.reference import Reference

CLASSES, PER_DAY, VALIDATION = 10, 100, 400
FALSE_ALARMS, TARGET_RISK, LABELLED = 0.05, 0.05, 0.1


@dataclass(frozen=True)
class Change:
    """What the new answers are like: the coverage that the threshold then has, a number added to confidences, and classes that remain."""

    name: str
    coverage: float | None = None
    shift: float = 0.0
    classes: int = CLASSES


CHANGES = (
    Change("none"),
    Change("coverage 10 points lower", coverage=-0.1),
    Change("coverage 20 points lower", coverage=-0.2),
    Change("coverage 40 points lower", coverage=-0.4),
    Change("all confidences up by 1/4 deviation", shift=0.25),
    Change("all confidences up by 1/2 deviation", shift=0.5),
    Change("one class of ten gone", classes=CLASSES - 1),
)
RISKS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.25)


def draw_reference(calibration: int, generator: np.random.Generator) -> Reference:
    """The calibration data, with the threshold that they support."""
    validation, (confidence, correct) = NORMAL.draw(VALIDATION, generator), NORMAL.draw(calibration, generator)
    given = {"reference_confidence": validation[0], "reference_correct": validation[1]}
    found = threshold_with_guarantee(confidence, correct, target_risk=TARGET_RISK, delta=0.05, **given)
    classes = generator.integers(0, CLASSES, calibration)
    metadata = {"classes": [str(at) for at in range(CLASSES)]}
    return Reference(confidence, classes, correct, metadata, [{"risk": TARGET_RISK, "threshold": found.threshold, "served": True}])


def draw_answers(reference: Reference, change: Change, days: int, change_day: int, generator: np.random.Generator) -> Answers:
    period = np.repeat(np.arange(days), PER_DAY)
    confidence, is_changed = NORMAL.draw(len(period), generator)[0], period >= change_day - 1
    shift, threshold = change.shift, reference.threshold(None)["threshold"]
    if change.coverage is not None:
        coverage = NORMAL.truth(np.array([threshold]))[0][0] + change.coverage
        shift = brentq(lambda moved: NORMAL.truth(np.array([threshold - moved]))[0][0] - coverage, -5, 5)
    confidence = confidence + shift * is_changed
    classes = np.where(is_changed, generator.integers(0, change.classes, len(period)), generator.integers(0, CLASSES, len(period)))
    return Answers([f"day {day + 1}" for day in range(days)], period, np.zeros(len(period), object), confidence, classes)


def days_to_alarm(calibration: int, change: Change, days: int, change_day: int, generator: np.random.Generator) -> float:
    """Days from the change to the alarm, 1 for the day of the change; infinite without an alarm, negative for one before the change."""
    reference = draw_reference(calibration, generator)
    threshold = reference.threshold(None)["threshold"]
    if change.coverage is not None and threshold is None:
        return days_to_alarm(calibration, change, days, change_day, generator)
    drift = find_drift(reference, draw_answers(reference, change, days, change_day, generator), threshold, FALSE_ALARMS)
    return drift.alarms[0].alarm_period + 2 - change_day if drift.alarms else np.inf


def labels_to_verdict(risk: float, days: int, generator: np.random.Generator) -> tuple[str, float]:
    """The last verdict, and after how many labelled accepted answers the guarantee was found broken. 90 % are accepted."""
    count = days * PER_DAY
    accepted, correct = generator.random(count) < 0.9, generator.random(count) >= risk
    answers = Answers(
        [str(day) for day in range(days)],
        np.repeat(np.arange(days), PER_DAY),
        np.zeros(count, object),
        1.0 * accepted,
        np.zeros(count, int),
    )
    labelled = np.flatnonzero(generator.random(count) < LABELLED)
    state = judge_guarantee(answers, Labels(labelled, 1 - correct[labelled].astype(int)), 0.5, TARGET_RISK, FALSE_ALARMS)
    reached = state.evidence >= state.alarm_evidence
    return state.verdict, float(state.looked_at[np.argmax(reached)]) if reached.any() else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("repetitions", 1000), ("with-change", 200), ("days", 60), ("change", 31), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    shown_counts = f"{options.repetitions:,} repetitions, {options.with_change:,} of each change"
    print(f"{shown_counts}, {options.days} days of {PER_DAY} answers\n")
    print(f"{'change':38} {'on day':>6} {'n = 200: alarm':>16} {'days':>5} {'n = 1,000: alarm':>17} {'days':>5}")
    for change in CHANGES:
        for change_day in [1] if change is CHANGES[0] else sorted({1, options.change}):
            line = f"{change.name:38} {'-' if change is CHANGES[0] else change_day:>6}"
            for calibration, width in ((200, 16), (1000, 17)):
                once = partial(days_to_alarm, calibration, change, options.days, change_day, generator)
                found = np.array([once() for _ in range(options.repetitions if change is CHANGES[0] else options.with_change)])
                after = np.where(found > 0, found, np.inf)
                shown = "-" if change is CHANGES[0] or np.isinf(np.median(after)) else f"{np.median(after):.0f}"
                line += f" {100 * np.isfinite(after).mean():>{width - 2}.1f} % {shown:>5}"
            print(line, flush=True)
    print(f"\n{'risk, target 5 %':38} {'broken':>8} {'labels':>7} {'kept':>8}")
    for risk in RISKS:
        repetitions = options.repetitions if risk == TARGET_RISK else options.with_change
        print_verdicts(risk, options.days, repetitions, np.random.default_rng([options.seed, round(1000 * risk)]))


def print_verdicts(risk: float, days: int, repetitions: int, generator: np.random.Generator) -> None:
    verdicts, counts = zip(*(labels_to_verdict(risk, days, generator) for _ in range(repetitions)), strict=True)
    median = np.median(counts)
    shares = [100 * np.mean(np.array(verdicts) == verdict) for verdict in (BROKEN, KEPT)]
    print(f"{100 * risk:<38g} {shares[0]:>6.1f} % {'-' if np.isinf(median) else f'{median:.0f}':>7} {shares[1]:>6.1f} %", flush=True)


if __name__ == "__main__":
    main()
