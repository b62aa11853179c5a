"""Amounts of bytes as text."""

from __future__ import annotations


def size(count: float) -> str:
    """12 kB, 310 MB or 1.2 GB, in powers of a thousand, as disks are sold."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit * 0.9995:
            amount = count / unit
            return f"{amount:.1f} {name}" if amount < 9.95 else f"{amount:.0f} {name}"
    return f"{count:.0f} B"
