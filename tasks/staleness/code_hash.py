"""Stage `code`: for each stage of the pipeline a hash of exactly the code that computes it, in code.json.

The hash of the stage COMMAND@RUN-PROTOCOL stands under COMMAND.RUN.PROTOCOL, and the stage depends on it as on a
parameter. It covers the stage's own module, what params.yaml names for it (a method, an encoder, a protocol, a reader)
and every first-party file that these import, directly or not. So a shared file makes those stages stale that really
import it, nothing has to be listed by hand, and a comment makes nothing stale.

Under `sources.NAME` stands a hash of the files that the data set NAME is read from (tasks/staleness/source_files.py).
Under `encoders.RUN` stand the settings of the run's encoder, its own or the common ones, so that only runs that have
the common one depend on it. Under `recipes.RUN` stands what it takes of the data set's recipe. Under `weights.RUN`
stands a hash of the file that its weights come from, null for none.

Machinery, told by its folder (tasks/staleness/sources.py), is left out. Training in several processes adds
ssl_models/parallel: there the order of additions is another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tasks.process.files import remembered, whole_file
from tasks.project.paths import CODE, PARAMETERS
from tasks.project.project import Project
from tasks.settings import recipes
from tasks.settings.encoders import INITIALISE, encoder_of, encoders, weight_files
from tasks.settings.readers import opening
from tasks.settings.refits import continues, method_of
from tasks.settings.schema import parse_yaml
from tasks.staleness import source_files
from tasks.staleness.sources import Sources

SHARING = tuple(f"ssl_models/parallel/{name}.py" for name in ("processes", "encoder_shards", "view_shares"))
READER = "tasks/artifacts/encoders.py"
LOADER = "ssl_models/weights/__init__.py"
SOURCES, ENCODERS, RECIPES, WEIGHTS = "sources", "encoders", "recipes", "weights"
Fingerprints = dict[str, Any]
Files = Callable[[], list[str]]


def main(arguments: list[str]) -> int:  # noqa: ARG001
    """ssl_models/, tasks/, params.yaml, the data's sources -> code.json. Nothing is recorded of it."""
    write(Path.cwd())
    return 0


def write(root: Path) -> None:
    """Writes code.json as the code in `root` is now."""
    with whole_file(root / CODE) as temporary:
        temporary.write_text(json.dumps(fingerprints(root), indent=1) + "\n")


def read(root: Path) -> Fingerprints:
    """What code.json says; empty where there is none, or none that can be read: it is written anew then."""
    return remembered(root / CODE)


def fingerprints(
    root: Path,
    parameters: Mapping[str, Any] | None = None,
    wanted: Collection[str] | None = None,
    *,
    thorough: bool = False,
) -> Fingerprints:
    """Command -> run -> protocol -> 16 hexadecimal digits, of the code as it is now; fewer levels for fewer names.

    Besides these, what stands under `sources`, `encoders`, `recipes` and `weights`.

    parameters: the content of params.yaml, else that of the file. wanted: dotted keys of what is asked for; else all.
    thorough: every file of a data set's source is looked at (tasks/staleness/source_files.py).
    """
    if parameters is None:
        parameters = parse_yaml((root / PARAMETERS).read_text()) or {}
    sources = Sources(root)
    found: Fingerprints = {}
    for names, files in _stages(sources, parameters):
        if wanted is None or ".".join(names) in wanted:
            block = found
            for name in names[:-1]:
                block = block.setdefault(name, {})
            block[names[-1]] = sources.fingerprint(files())
    for name, block in read_from(parameters).items():
        if wanted is None or f"{SOURCES}.{name}" in wanted:
            content = source_files.fingerprint(Project(root), block, thorough=thorough)
            found.setdefault(SOURCES, {})[name] = content
    for word, told in ((ENCODERS, encoders(parameters)), (RECIPES, recipes.of_runs(parameters))):
        for run, settings in told.items():
            if wanted is None or f"{word}.{run}" in wanted:
                found.setdefault(word, {})[run] = settings
    for run, file in weight_files(root, parameters).items():
        if wanted is None or f"{WEIGHTS}.{run}" in wanted:
            found.setdefault(WEIGHTS, {})[run] = file and source_files.fingerprint(Project(root), {"source": str(file)})
    return found


def read_from(parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The names of the selected data set and of the targets' data sets -> their blocks, which name a source."""
    blocks = [parameters.get("data"), *(block.get("data") for block in _blocks(parameters, "targets").values())]
    return {
        str(block.get("name")): block
        for block in blocks
        if isinstance(block, dict) and isinstance(source := block.get("source"), str) and source
    }


def _stages(sources: Sources, parameters: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Files]]:
    """The names of every stage, and what tells the files that its hash begins with.

    A block that params.yaml cannot hold is passed over: its faults are told elsewhere.
    """
    pretrain, refits = _blocks(parameters, "pretrain"), _blocks(parameters, "clusterfit")
    transfer, targets = _blocks(parameters, "transfer"), _blocks(parameters, "targets")
    yield ("prepare",), partial(_module_and, "tasks/prepare.py", *_readers(parameters.get("data")))
    for name, block in targets.items():
        yield ("prepare_target", name), partial(_module_and, "tasks/targets/prepare.py", *_readers(block.get("data")))
    for blocks, word, suffix in ((pretrain, "pretrain", ""), (refits, "clusterfit", "_clusterfit")):
        for run, block in blocks.items():
            method = str(block.get("method", "")) if word == "pretrain" else method_of(block)
            encoder = f"ssl_models/encoders/{encoder_of(parameters, block).get('name', '')}.py"
            loader = [LOADER] if INITIALISE in block or continues(block) else []
            yield (word, run), partial(_training, word, method, encoder, parameters, loader)
            network = partial(_network, sources, method, encoder)
            yield (f"extract{suffix}", run), partial(_module_and, "tasks/extract.py", network)
            for protocol in transfer:
                yield (
                    (f"transfer{suffix}", run, protocol),
                    partial(_measured, sources, "tasks/transfer.py", protocol, network),
                )
            for target, own in targets.items():
                protocol = str(own.get("protocol", ""))
                yield (
                    (f"transfer_target{suffix}", run, target),
                    partial(_module_and, "tasks/targets/transfer.py", _protocol(protocol), network),
                )
    for run in refits:
        yield ("cluster", run), partial(_module_and, "tasks/cluster.py")
    yield ("atlas",), partial(_module_and, "tasks/atlas.py", partial(_protocols, sources))
    yield ("report",), partial(_module_and, "tasks/report.py", partial(_protocols, sources))


def _blocks(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    blocks = parameters.get(name) or {}
    return {run: block for run, block in blocks.items() if isinstance(block, dict)} if isinstance(blocks, dict) else {}


def _module_and(module: str, *named: str | Files) -> list[str]:
    """A stage's module, and what params.yaml names for it."""
    return [module, *(file for one in named for file in ([one] if isinstance(one, str) else one()))]


def _readers(data: Any) -> list[str]:
    """The file of a data set's reader, and that of the one by which it reads: no import leads there."""
    blocks = [data, opening(data)] if isinstance(data, dict) else []
    return sorted({f"ssl_models/datasets/{block.get('reader', '')}.py" for block in blocks})


def _protocol(name: str) -> str:
    return f"ssl_models/protocols/{name}.py"


def _training(word: str, method: str, encoder: str, parameters: Mapping[str, Any], loader: list[str]) -> list[str]:
    """With several processes, also the code by which they share the work: they add in another order than one.

    loader: the code that reads weights, where the run starts from such; that of a method that takes them imports it.
    """
    machine = parameters.get("machine") or {}
    shared = SHARING if machine.get("processes", 1) > 1 else ()
    return [f"tasks/{word}.py", f"ssl_models/methods/{method}.py", encoder, *loader, *shared]


def _network(sources: Sources, method: str, encoder: str) -> list[str]:
    """The files that build a run's encoder: what params.yaml names, or what the method makes of it."""
    own = {
        file
        for file in sources.reached([f"ssl_models/methods/{method}.py"])
        if file.startswith("ssl_models/encoders/") and "\nENCODER = " in (sources.text(file) or "")
    }
    return [encoder, *sorted(own - {encoder})]


def _measured(sources: Sources, module: str, protocol: str, network: Files) -> list[str]:
    """A protocol on extracted features; where it asks for the encoder, the encoder's code too."""
    file = _protocol(protocol)
    needs = sources.constants(file).get("NEEDS", ())
    return [module, file, *([READER, *network()] if "encoder" in needs else [])]


def _protocols(sources: Sources) -> list[str]:
    """What every protocol states of itself: the report shows it, and it decides who ranks first. Read, not imported."""
    return [f"={file.relative_to(sources.root)}" for file in (sources.root / "ssl_models/protocols").glob("[!_]*.py")]
