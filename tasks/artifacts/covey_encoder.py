"""Loads an encoder from a folder that Covey has written, where Covey is not installed.

    import sys; sys.path.append(FOLDER)
    from covey_encoder import load
    encoder = load(FOLDER)

The folder holds the encoder's code as a package named after its content. So one process can load encoders of several
folders, also of several versions of Covey, whichever folder this file comes from.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

NOTE = "covey_encoder.json"
"""Beside the package: its name."""


def load(folder: str | os.PathLike[str]) -> Any:
    """The encoder in `folder`, a torch.nn.Module on the CPU in evaluation mode: (B, ...) -> (B, dim).

    Raises FileNotFoundError where the folder holds no code.
    """
    place = Path(folder).absolute()
    code = next((one for one in (place, place / "code") if (one / NOTE).exists()), None)
    if code is None:
        raise FileNotFoundError(f"{place} holds no {NOTE}: it is not the folder of an encoder with its code")
    sys.path.append(str(code))  # and not by a path alone, so that processes that this one spawns find it
    return import_module(json.loads((code / NOTE).read_text())["package"]).load(place)
