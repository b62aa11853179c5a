"""Checks of settings that readers of one's own data share."""

from __future__ import annotations


def check_unreadable(unreadable: str) -> None:
    """Raises ValueError for any but the two ways to deal with what cannot be read."""
    if unreadable not in ("skip", "refuse"):
        raise ValueError(f"unreadable = '{unreadable}' must be skip or refuse")


def check_test_fraction(test_fraction: float) -> None:
    """Raises ValueError for a share out of range."""
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction = {test_fraction} must lie between 0 and 1, both excluded")
