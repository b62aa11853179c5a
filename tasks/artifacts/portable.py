"""The code of an encoder, copied to where this project is not installed; torch and safetensors suffice to load it.

What is copied is what `ssl_models/encoders/<name>.py` and `ssl_models/standalone.py` import, directly or not. The copy
is a package of another name, which ends in a hash of its content: where this project is installed too, neither takes
the other's place, and neither do copies of two versions.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import ssl_models
from tasks.artifacts import covey_encoder
from tasks.staleness.sources import Sources, modules

OWN = "ssl_models"
COPY = re.compile(r"covey_encoder_[0-9a-f]{12}")
ENTRY = f"{OWN}/standalone.py"
ALWAYS = ("torch", "numpy", "safetensors")
"""Distributions that every copy needs; each is imported under its own name, and so are timm and torchvision."""


def write_code(folder: Path, *encoders: str) -> list[str]:
    """Writes the code of an encoder ("resnet") into `folder`: the package, and covey_encoder.py beside it.

    encoders: its `files`.

    With the weights and encoder.json there too, `covey_encoder.load(folder)` gives the encoder. The same sources leave
    the same bytes. A package that an earlier call wrote is replaced.

    Returns the distributions that it needs. Raises ValueError where there is no such encoder.
    """
    texts = code(*encoders)
    package = package_name(texts)
    for old in folder.glob("covey_encoder_*"):
        if COPY.fullmatch(old.name):
            shutil.rmtree(old)
    written = {f"{package}{path.removeprefix(OWN)}": renamed(text, package) for path, text in texts.items()}
    written[f"{package}/__init__.py"] = (
        f'"""The encoder `{encoders[0]}` of Covey, with all that it is built and loaded by."""\n\n'
        f"from {package}.standalone import _load_pyfunc, load\n\n"
        '__all__ = ["_load_pyfunc", "load"]\n'
    )
    written["covey_encoder.py"] = Path(covey_encoder.__file__).read_text(encoding="utf-8")
    written[covey_encoder.NOTE] = json.dumps({"package": package}) + "\n"
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    return requirements(texts.values())


def package_in(folder: Path) -> str:
    """The name of the package that `write_code` has written into a folder."""
    return str(json.loads((folder / covey_encoder.NOTE).read_text())["package"])


def code(*encoders: str) -> dict[str, str]:
    """Path -> source of every file of this project that builds and loads an encoder, in the order of the paths."""
    sources, files = Sources(Path(ssl_models.__file__).parents[1]), []
    for encoder in encoders:
        files.append(f"{OWN}/encoders/{encoder}.py")
        if not encoder.isidentifier() or "\nENCODER = " not in (sources.text(files[-1]) or ""):
            raise ValueError(f"there is no encoder '{encoder}'")
    return {path: sources.text(path) or "" for path in sorted(sources.reached([*files, ENTRY]))}


def package_name(texts: dict[str, str]) -> str:
    """covey_encoder_ and 12 hexadecimal digits that tell one content from another."""
    digest = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()
    return f"covey_encoder_{digest[:12]}"


def renamed(text: str, package: str) -> str:
    """A source with `package` in place of this project's own, in its imports and where it names modules."""
    return re.sub(rf"\b{OWN}(?=\.[\w{{]| import\b)", package, text)


def requirements(texts: Iterable[str]) -> list[str]:
    """The distributions that sources import, at their top or inside functions; type checkers' imports do not count."""
    used = {name.partition(".")[0] for text in texts for name in modules(text)}
    return [*ALWAYS, *sorted(used - {*ALWAYS, *sys.stdlib_module_names, OWN})]
