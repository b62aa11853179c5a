"""Durations as text."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """12.3 s, 4 min 05 s or 2 h 07 min; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
