"""What the comparison comes to, in sentences with their caveats."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from eval.model_table import MACRO
from offline_rl.report.contents import Report, rows_of
from offline_rl.report.text import interval, number, one_line, p_value, signed

_SIGNIFICANT = 0.05
_UNDECLARED = "exploratory"
_LONGEST = 40
_MUCH_TIDIER = 10.0
"""Points of the share without an answer that are worth a sentence."""


def verdict(report: Report) -> tuple[str, ...]:
    """Sentences in the order of their weight: the best, what it beats, the reference, the base.

    A difference is said to be one where its Holm-adjusted p-value is below 0.05. Names are inert
    and short. Several base models are summarised one by one.
    """
    sentences = list(_without(report.absent))
    models = list(report.comparison["model"].unique())
    for model in models:
        about = f"{_name(model)}: " if len(models) > 1 else ""
        summary = _of_model(
            report.comparison[report.comparison["model"] == model],
            report.pairwise[report.pairwise["model"] == model],
            report.results.baseline,
            asked=int((report.pairwise["family"] == _UNDECLARED).sum()),
        )
        sentences += [f"{about}{sentence}" for sentence in summary]
    return tuple(sentences)


def _without(absent: Sequence[str]) -> Iterator[str]:
    if absent:
        yield (
            f"Incomplete: {_listed([_name(label) for label in absent])}"
            f" {'are' if len(absent) > 1 else 'is'} missing. What follows compares the rest, and"
            " with fewer questions asked a difference is shown more easily."
        )


def _of_model(
    comparison: pd.DataFrame, pairwise: pd.DataFrame, baseline: str, *, asked: int
) -> Iterator[str]:
    """`asked` rows of all models' pairs were not declared."""
    whole = list(rows_of(comparison[comparison["benchmark"] == MACRO]))
    trained = [row for row in whole if row.training_seeds]
    candidates = trained or whole
    if not candidates:
        yield "No policy was evaluated on every benchmark, so there is no macro average to compare."
        return
    if any(row.training_seeds == 1 for row in trained):
        yield (
            "With one training seed what follows speaks of the checkpoints at hand, not of the"
            " methods: another seed may turn it around."
        )
    if len(candidates) > 1:
        untrained = [row for row in whole if trained and not row.training_seeds]
        yield from _best(candidates, untrained, pairwise, asked)
    primary = pairwise[pairwise["family"] == "primary"]
    against = list(primary["against"].unique())
    by_label = {row.label: row for row in whole}
    for name in against:
        pairs = list(rows_of(primary[primary["against"] == name]))
        if name == baseline:
            labels = (name, *(pair.label for pair in pairs))
            yield _sides(pairs, name, _metric([by_label[label] for label in labels]))
            continue
        for pair in pairs:
            yield _pair(pair, pairwise, _metric([by_label[pair.label], by_label[name]]))
    if baseline in by_label:
        yield from _sharpening(whole, by_label[baseline])
        yield from _form(whole, by_label[baseline])


def _best(
    candidates: Sequence[Any], untrained: Sequence[Any], pairwise: pd.DataFrame, asked: int
) -> Iterator[str]:
    """The best of the candidates, and which of the `untrained`, which are none, lies above it."""
    best = max(candidates, key=_accuracy)
    above = max(untrained, key=_accuracy, default=None)
    surpassed = above is not None and _accuracy(above) >= _accuracy(best)
    if above is not None and surpassed:
        yield (
            f"No method's {_metric([above])} exceeds that of {_name(above.label)},"
            f" {_percent(above)}."
        )
    equals = [_name(row.label) for row in candidates if _accuracy(row) == _accuracy(best)]
    yield (
        f"{_listed(equals)} {'have' if len(equals) > 1 else 'has'} the highest"
        f" {_metric(candidates)}{' of what was trained' if surpassed else ''}: {_percent(best)}"
        f"{_seeds(best.training_seeds)}."
    )
    if len(equals) == 1:
        yield from _rivals(best, pairwise, asked, among=" trained one" if untrained else "")


def _rivals(best: Any, pairwise: pd.DataFrame, asked: int, *, among: str) -> Iterator[str]:
    """Which others the best is not distinguishable from."""
    macro = pairwise[pairwise["benchmark"] == MACRO]
    rivals = [
        row
        for row in rows_of(macro)
        if best.label in (row.label, row.against)
        and (row.training_seeds_label > 0) == (row.training_seeds_against > 0)
    ]
    declared: list[str] = []
    undeclared: list[str] = []
    for row in rivals:
        if not row.holm_p_value < _SIGNIFICANT:
            first = row.label == best.label
            ahead = signed(row.difference_points if first else -row.difference_points)
            other = f"{_name(row.against if first else row.label)} ({ahead} points)"
            (undeclared if row.family == _UNDECLARED else declared).append(other)
    others = [f"from {_listed(declared)}"] if declared else []
    if undeclared:
        others.append(f"among {asked} undeclared questions from {_listed(undeclared)}")
    if others:
        yield f"It is not distinguishable there {', nor '.join(others)}."
    elif rivals:
        yield f"It is distinguishable from every other{among} there."


def _pair(row: Any, pairwise: pd.DataFrame, metric: str) -> str:
    """A method against the reference, on the average and where it holds."""
    single = pairwise[
        (pairwise["label"] == row.label)
        & (pairwise["against"] == row.against)
        & (pairwise["benchmark"] != MACRO)
    ]
    parts: dict[str, list[str]] = {"above": [], "below": [], "": []}
    for one in rows_of(single):
        parts[_side(one)].append(_name(one.benchmark))
    where = [f"{side} on {_listed(names)}" for side, names in parts.items() if names and side]
    if parts[""]:
        where.append(f"not distinguishable on {_listed(parts[''])}")
    found = f"; {'; '.join(where)}" if len(single) > 1 else ""
    span = f"{signed(row.difference_points)} {interval(row)}"
    seeds = _seeds(row.training_seeds_label, ", ")
    tested = f"Holm p {p_value(row.holm_p_value)}{seeds}"
    label = _who(row.label, row.training_seeds_label)
    against = _who(row.against, row.training_seeds_against)
    side = _side(row)
    if side:
        verb = "beats" if side == "above" else "loses to"
        return f"{label} {verb} {against}: {span} points on {metric} ({tested}{found})."
    smallest = number(row.minimum_detectable_points)
    return (
        f"{label} is not distinguishable from {against}: {span} points on {metric}"
        f" ({tested}{found})."
        f" A true difference below {smallest} may well go unseen, even before Holm's correction."
        if row.minimum_detectable_points != 0
        else f"{label} and {against} are right equally often on every problem."
    )


def _sides(pairs: Sequence[Any], baseline: str, metric: str) -> str:
    """All labels against the baseline in one sentence."""
    names: dict[str, list[str]] = {"above": [], "below": [], "": []}
    for row in pairs:
        names[_side(row)].append(f"{_name(row.label)} ({signed(row.difference_points)})")
    said = [f"{_listed(found)} {side} it" for side, found in names.items() if found and side]
    if names[""]:
        said.append(f"no difference shown for {_listed(names[''])}")
    return f"Against {_name(baseline)} on {metric}, in points: {'; '.join(said)}."


def _sharpening(whole: Sequence[Any], base: Any) -> Iterator[str]:
    """What decoding alone gives, and who pays for avg@k with pass@k."""
    # Models that were evaluated alone may stand here too.
    decoded = [
        row
        for row in whole
        if row.label.startswith(f"{base.label}-") and row.temperature < base.temperature
    ]
    trained = [row for row in whole if row.training_seeds]
    if trained and decoded:
        sharpest = max(decoded, key=lambda row: row.avg_at_k_percent)
        gain = sharpest.avg_at_k_percent - base.avg_at_k_percent
        if gain > 0:
            yield (
                f"Sharper decoding alone gives {_name(base.label)} {signed(gain)} points"
                f" ({_name(sharpest.label)})."
            )
    poorer = [
        f"{_name(row.label)} ({number(row.pass_at_k_percent)}%)"
        for row in trained
        if row.avg_at_k_percent > base.avg_at_k_percent
        and row.samples_per_problem == base.samples_per_problem
        and row.pass_at_k_percent < base.pass_at_k_percent
    ]
    if poorer:
        k = base.samples_per_problem
        yield (
            f"More often right but with fewer problems solved in {k} samples than"
            f" {_name(base.label)} (pass@{k} {number(base.pass_at_k_percent)}%): {_listed(poorer)}."
        )


def _form(whole: Sequence[Any], base: Any) -> Iterator[str]:
    """Where what is gained may be the form of the answer and not the answer."""
    tidier = [
        f"{_name(row.label)} ({number(row.no_answer_percent)}%)"
        for row in whole
        if row.training_seeds and base.no_answer_percent - row.no_answer_percent > _MUCH_TIDIER
    ]
    if tidier:
        yield (
            f"The verifier finds no final answer in {number(base.no_answer_percent)}% of the"
            f" samples of {_name(base.label)}, and in fewer of {_listed(tidier)}: a part of what"
            " they gain is to state an answer."
        )


def _who(label: str, seeds: int) -> str:
    return f"this checkpoint of {_name(label)}" if seeds == 1 else _name(label)


def _side(row: Any) -> str:
    """Where the difference is shown to lie; "" where it is not."""
    if not row.holm_p_value < _SIGNIFICANT:
        return ""
    return "above" if row.difference_points > 0 else "below"


def _accuracy(row: Any) -> float:
    return float(row.avg_at_k_percent)


def _percent(row: Any) -> str:
    span = f"[{number(row.avg_at_k_low_percent)}, {number(row.avg_at_k_high_percent)}]"
    return f"{number(row.avg_at_k_percent)}% {span}"


def _metric(rows: Sequence[Any]) -> str:
    """What all the rows are measured by."""
    counts = {row.samples_per_problem for row in rows}
    return f"macro avg@{counts.pop()}" if len(counts) == 1 else "macro accuracy"


def _seeds(count: int, before: str = " over ") -> str:
    if count == 0:
        return ""
    return f"{before}{count} training seed{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _name(text: str) -> str:
    return one_line(text, _LONGEST)
