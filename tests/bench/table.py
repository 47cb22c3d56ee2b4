"""Medians, ratios and markdown for the measurers."""

import statistics


def seconds(values, digits=2):
    """Median, and the least and the greatest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratio(ours, theirs):
    """The median of the ratios within the same round: what slows the host for a while slows both."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def verdict(value, aim, digits=2):
    """A ratio, or another figure, and whether it is at most the aim."""
    return f"**{value:.{digits}f}** (≤ {aim:.{digits}f}: {'met' if value <= aim else 'MISSED'})"


def markdown(head, rows):
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
