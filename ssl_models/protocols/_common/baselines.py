"""Rows that stand among the layers for what is to be beaten, such as what the data give without an encoder.

They are no layer of a run. Nothing heavy is imported: the command line asks for them.
"""

from __future__ import annotations

MFCC, MAJORITY = "mfcc", "majority"
CENTRE, FIXED_PLACE, OTHER_SOUND = "centre", "fixed place", "other sound"
BASELINES = (MFCC, MAJORITY, CENTRE, FIXED_PLACE, OTHER_SOUND)
