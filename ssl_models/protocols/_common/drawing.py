"""What the protocols' pictures share: one palette."""

from __future__ import annotations

PALETTE = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#56B4E9"),
    *("#332288", "#882255", "#44AA99", "#999933", "#AA4499", "#117733"),
]
"""Okabe and Ito's colours without yellow and black, then Tol's muted ones: distinct with any colour vision."""
