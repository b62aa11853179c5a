"""What an error means to the user: in words, with the place for a mistake in code, and whether it would come again.

Three kinds need no trace. A refusal is a ValueError that code raises with words of its own. A fault of the machine is a
full disk, too little memory, a file that cannot be read. A mistake in a method, a protocol, a reader or an encoder is
named by file and line, with the frames in such files alone. Anything else is an error of Covey's own.
"""

from __future__ import annotations

import linecache
import os
import traceback
from dataclasses import dataclass
from pathlib import Path

from ssl_models.errors import first_line
from tasks.process import disks

ROOT = Path(__file__).resolve().parents[2]
TRACEBACK = "COVEY_TRACEBACK"
"""Environment variable: where it is set, the whole trace is shown as well."""
FRAMES = 4
CALLERS, CONTRACT = ("ssl_models/trainer.py", "ssl_models/method.py"), "ssl_models/method.py"
OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory", "Unable to allocate"),
    *("std::bad_alloc", "STATUS_ALLOC_FAILED"),
    *("terminated abruptly", "killed by signal: Killed"),  # a pool's, a DataLoader's process that the kernel has killed
)
OF_DEVICES = ("CUDA error", "cuDNN", "CUBLAS", "NCCL", "Gloo", "gloo", "MPS", "Connection", "Timeout", "timed out")
"""Words in a RuntimeError of torch that a device or a network has failed, which may pass."""
HOPELESS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)


@dataclass(frozen=True)
class Fault:
    """What went wrong, in words; final: it would end in the same way again."""

    words: str
    final: bool


def traced() -> bool:
    """Whether the user asks for whole traces."""
    return bool(os.environ.get(TRACEBACK))


def explain(
    error: Exception, root: Path, *, memory: str = "", foreign: tuple[type[Exception], ...] = ()
) -> Fault | None:
    """What an error means; None for one that nobody has foreseen.

    root: the project's folder. memory: what to do where memory has run out. foreign: errors of libraries whose message
    is for people.
    """
    if disks.is_full(error):
        return Fault(disks.sentence(root, error), final=True)
    if is_out_of_memory(error):
        advice = memory or "run fewer stages at once (`covey run --jobs 1`)"
        return Fault(f"out of memory ({first_line(error)}); {advice}", final=True)
    if isinstance(error, SyntaxError) and error.filename and _in_plug_in(error.filename):
        return Fault(of_source(Path(error.filename), error), final=True)
    frames = traceback.extract_tb(error.__traceback__)
    refused = bool(frames) and _raises(frames[-1])
    if isinstance(error, OSError):
        return Fault(str(error), final=isinstance(error, HOPELESS))
    if isinstance(error, ValueError) and refused:
        return Fault(str(error), final=True)
    own = [frame for frame in frames if _in_plug_in(frame.filename)] or _callers(frames)
    if own and (own[-1] is frames[-1] or not refused) and not isinstance(error, foreign):
        may_pass = isinstance(error, RuntimeError) and any(word in str(error) for word in OF_DEVICES)
        return Fault(_of_code(error, own, frames[-1]), final=not may_pass)
    if isinstance(error, (ValueError, RuntimeError, *foreign)):
        return Fault(str(error), final=isinstance(error, ValueError))
    return None


def of_source(path: Path, error: SyntaxError | ValueError) -> str:
    """A source that is no Python, by file and line, with that line below."""
    words = getattr(error, "msg", None) or str(error)
    line = getattr(error, "lineno", None)
    place = shown(path) + (f", line {line}" if line else "")
    text = (getattr(error, "text", None) or "").strip()
    return f"{place}: {type(error).__name__}: {words}" + (f"\n    {text}" if text else "")


def shown(path: Path | str) -> str:
    """A file of this code, relative to the folder that holds it."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def _of_code(error: Exception, own: list[traceback.FrameSummary], last: traceback.FrameSummary) -> str:
    """A mistake in code by file and line, then the frames that lie in such files.

    Where torch refused what it was given (a RuntimeError), the file that was entered first is more likely at fault than
    the layers that it handed this to: of it the innermost frame is named.
    """
    first = own[0].filename if isinstance(error, RuntimeError) and not _raises(last) else own[-1].filename
    named = [frame for frame in own if frame.filename == first][-1]
    head = f"{_place(named)}: {type(error).__name__}: {first_line(error)}"
    if shown(named.filename) in CALLERS:
        return f"{head}; {CONTRACT} says what a method must give"
    return "\n".join([head, *(f"    {_place(frame)}\n        {frame.line}" for frame in own[-FRAMES:])])


def _callers(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """The frames in what calls methods and encoders: where these gave it something that it cannot use."""
    return [frame for frame in frames if shown(frame.filename) in CALLERS]


def _place(frame: traceback.FrameSummary) -> str:
    return f"{shown(frame.filename)}, line {frame.lineno}, in {frame.name}"


def _in_plug_in(filename: str) -> bool:
    """Whether a file is a method, protocol, reader, encoder or a part of these: what users add to."""
    words = shown(filename).split("/")
    return words[0] == "ssl_models" and len(words) > 2 and words[1] != "parallel"


def _raises(frame: traceback.FrameSummary) -> bool:
    """Whether an error was raised by a statement of this code: by a decision, and not by a library or by Python."""
    inside = Path(frame.filename).is_relative_to(ROOT) and "site-packages" not in frame.filename
    return inside and linecache.getline(frame.filename, frame.lineno or 0).lstrip().startswith("raise")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, numpy, torch or faiss says that memory has run out, the machine's or a GPU's.

    So it is where another error has been made of one that says so.
    """
    if isinstance(error.__cause__, Exception) and error.__cause__ is not error and is_out_of_memory(error.__cause__):
        return True
    known = isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return known or (isinstance(error, (RuntimeError, OSError)) and any(word in str(error) for word in OUT_OF_MEMORY))


def is_of_gpu(error: Exception) -> bool:
    """Whether an error for want of memory speaks of a GPU's."""
    return any(word in str(error) for word in ("CUDA", "cuDNN", "CUDNN", "CUBLAS", "HIP"))
