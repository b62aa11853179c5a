"""Checks of hyper-parameters. Each function raises a ValueError that names the parameter and its value."""

from __future__ import annotations


def require_positive(**values: float) -> None:
    """Refuses values <= 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be greater than 0")


def require_fraction(**values: float) -> None:
    """Refuses values outside [0, 1]: probabilities, weights, momenta."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; it must lie in [0, 1]")


def require_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuses a name that is none of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} is '{value}'; choose one of {', '.join(allowed)}")


def require_picture(shape: tuple[int, ...], method: str) -> tuple[int, int, int]:
    """(C, H, W) of the data, refusing anything that is no picture."""
    if len(shape) != 3:
        raise ValueError(f"{method} needs pictures of shape (C, H, W), and these samples have shape {shape}")
    return shape[0], shape[1], shape[2]
