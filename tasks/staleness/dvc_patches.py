"""Functions of DVC's that this process replaces: one is slow, one can empty another stage's output, one restores what
was made of other settings."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import cache, wraps
from typing import Any


def put() -> None:
    """Replaces them; call it once a process."""
    from dvc.stage import cache as run_cache
    from dvc.utils.serialize import _yaml
    from dvc_objects.fs import system

    _yaml.parse_yaml = _parse_once(_yaml.parse_yaml)
    system.reflink = reflink_whole(system.reflink)
    run_cache._get_cache_hash = hash_of_run


def _parse_once(parse: Callable[..., Any]) -> Callable[..., Any]:
    """DVC parses params.yaml once for each stage and each file of parameters; with this, once for each text."""

    @cache
    def parsed(text: str) -> Any:
        return parse(text, "")

    @wraps(parse)
    def once(text: str, path: str, typ: str = "safe") -> Any:
        try:
            return deepcopy(parsed(text)) if typ == "safe" else parse(text, path, typ)
        except Exception:
            return parse(text, path, typ)  # which names the path in its error

    return once


def reflink_whole(reflink: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """DVC's function that clones a file, made to put a whole file in place or none.

    On Linux it opens its target first, and thereby empties one that is there: the object that another stage with the
    same content has just added, and with it that stage's output, which is a link to the object. Where the file system
    cannot clone it then removes the target.

    Raises FileExistsError if the target is there, which DVC takes for done; OSError where files cannot be cloned.
    """

    @wraps(reflink)
    def whole(source: str, target: str) -> None:
        own = f"{target}.{os.getpid()}.{threading.get_ident()}.tmp"
        try:
            reflink(source, own)
            os.link(own, target)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(own)

    return whole


def hash_of_run(cache: dict[str, Any], key: bool = False) -> str:
    """DVC's hash of an entry of its run cache, with all parameters in it.

    DVC leaves out whatever is called `size` or `nfiles`, which it means for files; but it leaves it out of parameters
    too. Where `data.size` or `extract.size` alone had changed, it would restore what was made with another size.
    Entries without such a parameter have the hash that DVC gives them.
    """
    from dvc.utils import dict_filter, dict_sha256

    if key:
        cache["outs"] = [out["path"] for out in cache.get("outs", [])]
    parameters = {"params": cache["params"]} if "params" in cache else {}
    return str(dict_sha256(dict_filter(cache, ["size", "nfiles"]) | parameters))
