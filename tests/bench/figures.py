"""Statistics: medians with their spread, and ratios of medians."""
import statistics


def values(samples, case, program, figure):
    """One value a round; a round that gave none is left out."""
    return [s["figures"][figure] for s in samples
            if s["case"] == case and s["program"] == program and s["figures"].get(figure) is not None]


def median(numbers):
    return statistics.median(numbers) if numbers else None


def ratio(ours, theirs):
    """Of the medians; None if one is not there or nothing."""
    a, b = median(ours), median(theirs)
    return a / b if a is not None and b else None


def ratio_spread(samples, case, ours, theirs, figure):
    """The least and the greatest ratio of two samples of the same round: what the median hides."""
    by_round = {}
    for s in samples:
        if s["case"] == case and s["program"] in (ours, theirs) and s["figures"].get(figure):
            by_round.setdefault(s["round"], {})[s["program"]] = s["figures"][figure]
    ratios = [r[ours] / r[theirs] for r in by_round.values() if len(r) == 2]
    return (min(ratios), max(ratios)) if ratios else None


def digits(value):
    """So many that three say something."""
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3


def number(value):
    return f"{value:,.{digits(value)}f}"


def spread(numbers):
    """Median and range: "9.71 (9.4–10.2)"."""
    if not numbers:
        return "–"
    middle = median(numbers)
    if len(numbers) == 1:
        return number(middle)
    return f"{number(middle)} ({number(min(numbers))}–{number(max(numbers))})"
