"""Every kind of data goes the whole way: prepared, trained on, clustered, refitted, distilled, measured, reported."""

import os
import subprocess
import sys

import numpy
import pytest
import yaml

from tasks.process.files import read_json
from tasks.project.paths import NOT_APPLICABLE, Places
from tasks.settings import data_kinds
from tasks.staleness import pipeline
from tests.tasks.conftest import ROOT, make_project

pytestmark = pytest.mark.long
PARAMETERS = yaml.safe_load((ROOT / "params.yaml").read_text())
TINY = {
    "speech": ({"train": 96, "test": 48}, "cpc", {"embedding": {"layer": "context", "samples": 40, "factors": []}}),
    "text": ({"tokens": 12000}, "skip_gram", {"word_similarity": {}, "analogies": {}}),
    "video": ({"train": 96, "test": 48}, "shuffle_and_learn", {"frame_neighbours": {}, "probes": {}}),
    "audiovisual": ({"train": 96, "test": 48}, "audio_visual", {"localisation": {}, "probes": {}}),
    "points": ({"train": 96, "test": 48}, "persistent_cd", {"log_likelihood": {}, "linear": {}}),
    "silhouettes": ({"train": 96, "test": 48}, "persistent_cd", {"energy_surface": {}, "linear": {}}),
    "ising": ({"train": 96, "test": 48}, "cd_1", {"log_likelihood": {}, "parameters": {}}),
}
"""Data set -> its settings, the run that is clustered, and protocols besides those below."""
NO_LABELS = ("ising",)
COMMON = {"knn": {"neighbours": 5}, "retrieval": {}, "finetune": {"epochs": 1}}
SHORT = {
    "speech": {"knn": {"neighbours": 5}},
    "text": {"word_similarity": {}},
    "video": {"frame_neighbours": {}},
    "audiovisual": {"localisation": {}},
    "points": {"energy_surface": {}},
    "silhouettes": {"log_likelihood": {}},
    "ising": {"parameters": {}},
}
"""The same with one protocol, and without a control and a distillation."""
RUN = (
    "import sys; from tasks.project.project import Project; from tasks.staleness.reproduce import reproduce\n"
    "for stage in sys.argv[1:]: print(stage, reproduce(Project.find(), stage), flush=True)"
)


@pytest.fixture(
    params=[*((data, False) for data in TINY), *(pytest.param((d, True), marks=pytest.mark.exhaustive) for d in TINY)]
)
def went(request, tmp_path, fork):
    """A data set, and a small project of it in which all has run; one method reads pictures, and there are none."""
    name, whole = request.param
    data, source, protocols = TINY[name]
    blocks = PARAMETERS["kinds"][data_kinds.of_block(PARAMETERS["datasets"][name])]
    soft = {"source": source, "clusters": 4, "method": "distillation", "outputs": "clusters"}
    own = {
        "training": blocks["training"] | {"epochs": 1, "batch_size": 16},
        "pretrain": {source: blocks["pretrain"][source], "alien": {"method": "simclr"}},
        "clusterfit": {"refit": {"source": source, "clusters": 4}},
        "transfer": SHORT[name],
        "targets": {},
        "sets": {},
        "suites": {},
    }
    if whole:
        own["pretrain"]["random"], own["clusterfit"]["soft"] = {"method": "random"}, soft
        own["transfer"] = ({} if name in NO_LABELS else COMMON) | protocols | {"voc_map": {}}
    project = make_project(tmp_path, **blocks | own)
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["data"] = PARAMETERS["datasets"][name] | data
    content["datasets"] = {name: content["data"]}
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    stages = [name for name in pipeline.resolved(project) if name != "code"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "code", *stages],
        cwd=project, env={**os.environ, **fork}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return name, project, [source, "refit", *(["random", "soft"] if whole else [])], list(own["transfer"])


def test_a_kind_goes_the_whole_way(went):
    name, project, runs, protocols = went
    places = Places(project, name)
    for run in runs:
        features = numpy.load(places.features(run) / "test.pooled.npy")
        assert len(features) == read_json(places.preparation)["test"]
        assert numpy.isfinite(features).all()
        for protocol in protocols:
            record = read_json(places.metric(run, f"{protocol}.json"))
            assert record["scores"] if protocol != "voc_map" else "read" in record["not_applicable"], (run, protocol)
    assert "soft" not in runs or (places.clusters("soft") / "targets.npy").exists()
    assert (places.encoder("alien") / NOT_APPLICABLE).read_text().startswith("the method 'simclr' reads images")
    assert "reads images" in read_json(places.metric("alien", f"{protocols[0]}.json"))["not_applicable"]
    page = (project / "results/report.html").read_text()
    assert ("<audio controls" in page) == (name in ("speech", "audiovisual"))
    assert "autoplay" not in page
    assert ("Tracks, one row a clip" in page) == (name == "video")
    assert ("neighbours</h5>" in page) == (name == "text")
