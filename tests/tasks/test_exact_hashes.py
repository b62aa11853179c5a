"""What a stage's hash covers is what its process really imports, in both directions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssl_models.encoders import build_encoder
from tasks.project.project import Project
from tasks.staleness import code_hash
from tasks.staleness.sources import MACHINERY, Sources
from tests.tasks.conftest import SMALL, make_project

pytestmark = pytest.mark.long
STAGES = [
    ("prepare",),
    ("pretrain", "rotation"),
    ("pretrain", "begun"),
    ("pretrain", "taken"),
    ("extract", "rotation"),
    ("cluster", "rotation_cf"),
    ("clusterfit", "rotation_cf"),
    ("transfer", "rotation", "knn"),
    ("atlas",),
    ("report",),
]
CARRIED = {
    "tasks/selection/scope.py": "checks of params.yaml ask what is selected",
    "tasks/selection/__init__.py": "",
    "tasks/artifacts/encoders.py": "the registry of MLflow reads an encoder that is done",
    "tasks/artifacts/portable.py": "the registry of MLflow stores an encoder with its code",
    "tasks/artifacts/covey_encoder.py": "what that is loaded by elsewhere",
    "tasks/artifacts/classifier.py": "it knows the name of a classifier's file",
    "tasks/artifacts/__init__.py": "",
    "ssl_models/decoder.py": "processes share the work of a decoder",
    "ssl_models/patch_decoder.py": "the same",
    "ssl_models/encoders/transformer.py": "such a decoder is made of its blocks",
    "tasks/__main__.py": "starts a stage",
    "ssl_models/__init__.py": "",
    "ssl_models/trainer.py": "stages ask whether a training diverged",
}
"""Files that machinery imports for its own ends: they are in the hash of those stages alone that they shape."""
RUN = """
import gc, json, os, sys
from importlib import import_module
from tasks.stage import fork_server
from tasks.tracking import server

for name in fork_server.PRELOAD:
    import_module(name)
server.preload()
for name in [name for name in sys.modules if name.partition(".")[0] in fork_server.OWN]:
    del sys.modules[name]
gc.freeze()
for number, words in enumerate(json.loads(sys.argv[1])):
    if not os.fork():
        from tasks.stage.dispatch import run
        code = run(words)
        files = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
        open(f"modules.{number}.json", "w").write(json.dumps(files))
        sys.stdout.flush()
        os._exit(code)
    if code := os.waitstatus_to_exitcode(os.wait()[1]):
        sys.exit(f"{words}: exit code {code}")
"""
"""Each stage in a fork that has other people's modules imported, which takes most of a start, and none of ours."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Stage -> the project's own files that its process had imported when it ended."""
    folder = tmp_path_factory.mktemp("project")
    torch.save(build_encoder(**SMALL["encoder"]).state_dict(), folder / "start.pth")
    runs = {
        "begun": {"method": "rotation", "initialise": "start.pth"},
        "taken": {"method": "pretrained", "weights": "start.pth"},
    }
    project = make_project(folder, pretrain=SMALL["pretrain"] | runs)
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(STAGES)],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": "", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for number, words in enumerate(STAGES):
        files = [Path(file) for file in json.loads((project / f"modules.{number}.json").read_text())]
        found[words] = {file.relative_to(project).as_posix() for file in files if file.is_relative_to(project)}
    return project, found


@pytest.mark.parametrize("words", STAGES, ids="-".join)
def test_a_hash_covers_what_the_process_imports_and_nothing_else(loaded, words):
    project, found = loaded
    sources = Sources(project)
    names = dict(code_hash._stages(sources, Project(project).parameters))
    hashed = sources.reached(file for file in names[words]() if not file.startswith("="))
    imported = {file for file in found[words] if not file.startswith(MACHINERY)}
    assert hashed - imported == set(), "hashed, and never imported"
    assert imported - hashed - set(CARRIED) == set(), "imported, and in no hash"
