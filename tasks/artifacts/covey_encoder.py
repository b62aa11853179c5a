"""Loads an encoder from a folder that Covey has written, where Covey is not installed.

    import sys; sys.path.append(FOLDER)
    from covey_encoder import load
    encoder = load(FOLDER)

The folder holds the encoder's code as a package named after its content. So one process can load encoders of several
folders, also of several versions of Covey, whichever folder this file comes from.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def load(folder: str | os.PathLike[str]) -> Any:
    """The encoder in `folder`, a torch.nn.Module on the CPU in evaluation mode: (B, ...) -> (B, dim).

    Raises FileNotFoundError where the folder does not hold the code of one encoder.
    """
    place = Path(folder).absolute()
    inits = [path for code in (place, place / "code") for path in code.glob("covey_encoder_*/__init__.py")]
    found = [path.parent for path in inits]
    if len(found) != 1:
        raise FileNotFoundError(f"{place} holds {len(found)} packages covey_encoder_*, and an encoder has one")
    sys.path.append(str(found[0].parent))  # and not by a path alone, so that processes that this one spawns find it
    return import_module(found[0].name).load(place)
