"""What a stage does around its work, seen from outside: with dvc, on a small project of its own."""

import fcntl
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import yaml
from PIL import Image

from tasks.process import files
from tasks.project import paths
from tasks.project.project import Project
from tests.tasks.conftest import edit, run_in_fork, run_stage

pytestmark = pytest.mark.long

EDITED = "\nMORE = 1\n"


@pytest.fixture
def prepared(project, fork):
    done = run_in_fork(project, "prepare", fork)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_code_edited_while_a_stage_runs_fails_it_and_nothing_is_recorded(prepared, fork):
    edit(prepared, training={"epochs": 40})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_stage, prepared, "pretrain@rotation", fork)
        work = Project(prepared).state / "work" / "pretrain@rotation"
        journal = wait_for(lambda: next(work.glob("*/journal.jsonl"), None))
        wait_for(journal.read_bytes)
        code = prepared / "ssl_models" / "methods" / "rotation.py"
        code.write_text(code.read_text() + EDITED)
        done = running.result()
    assert done.returncode != 0
    assert (
        "the code of pretrain rotation changed while the stage ran; nothing was recorded" in done.stderr + done.stdout
    )
    assert not (prepared / "runs/world/rotation/encoder").exists()
    assert "pretrain@rotation" not in (prepared / "dvc.lock").read_text()


def test_code_that_dvc_does_not_know_of_yet_stops_a_stage_at_once(prepared, fork):
    """code.json is what DVC goes by: it must say what really runs."""
    method = prepared / "ssl_models" / "methods" / "rotation.py"
    method.write_text(method.read_text() + EDITED)
    done = run_stage(prepared, "pretrain@rotation", fork)
    assert done.returncode != 0
    assert "the code of pretrain rotation changed after code.json was written" in done.stderr + done.stdout
    assert run_stage(prepared, "code", fork).returncode == 0
    assert run_stage(prepared, "pretrain@rotation", fork).returncode == 0


@pytest.mark.exhaustive
def test_every_refit_of_a_run_goes_through(prepared, fork):
    """ClusterFit, its distilled form, a teacher's own classes, and a ClusterFit of a ClusterFit."""
    edit(
        prepared,
        pretrain={"teacher": {"method": "supervised", "label_noise": 0.5}},
        clusterfit={
            "soft": {"source": "rotation", "clusters": 5, "method": "distillation", "outputs": "clusters"},
            "taught": {"source": "teacher", "method": "distillation", "outputs": "classes"},
            "again": {"source": "rotation_cf", "clusters": 4},
        },
    )
    assert run_stage(prepared, "code", fork).returncode == 0
    for run in ("rotation", "teacher"):
        for stage in ("pretrain", "extract"):
            assert run_stage(prepared, f"{stage}@{run}", fork).returncode == 0
    place = paths.Places(prepared, "world")
    for run, shape in (("rotation_cf", None), ("soft", (192, 5)), ("taught", (192, 12)), ("again", None)):
        for stage in ("cluster", "clusterfit", "extract_clusterfit"):
            done = run_stage(prepared, f"{stage}@{run}", fork)
            assert done.returncode == 0, done.stdout + done.stderr
        targets = place.clusters(run) / "targets.npy"
        assert (numpy.load(targets).shape if targets.exists() else None) == shape
        assert (place.features(run) / "test.pooled.npy").exists()
        assert files.read_json(Project(prepared).costs(f"clusterfit@{run}"))["peak_memory"] > 2**20
        assert "peak_memory" not in files.read_json(place.metric(run, "training.json"))
    logits = numpy.load(place.clusters("taught") / "targets.npy")
    assert numpy.array_equal(logits.argmax(1), numpy.load(place.clusters("taught") / "assignments.npy"))
    assert (place.encoder("teacher") / "head.safetensors").exists()
    assert not (place.encoder("rotation") / "head.safetensors").exists()


def wait_for(found, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)
    return value


def test_a_second_start_of_a_running_stage_is_refused(prepared, fork):
    code = prepared / "tasks" / "stage" / "run.py"
    shorter = code.read_text().replace("WAIT_SECONDS = 30.0", "WAIT_SECONDS = 0.5")
    assert shorter != code.read_text()
    code.write_text(shorter)
    with open(Project(prepared).lock("pretrain@rotation"), "w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run_stage(prepared, "pretrain@rotation", fork)
    assert done.returncode != 0
    assert "already being run by process 4711" in done.stdout + done.stderr


def test_a_bad_parameter_ends_a_stage_with_its_message(prepared, fork):
    edit(prepared, pretrain={"rotation": {"method": "rotation", "epoch": 3}})
    done = run_stage(prepared, "pretrain@rotation", fork)
    assert done.returncode != 0
    assert "unknown setting 'epoch'" in done.stderr
    assert "Traceback" not in done.stderr


def test_unlabelled_pictures_go_through_and_say_what_they_lack(project, fork, tmp_path):
    folder = tmp_path / "flat"
    folder.mkdir()
    generator = numpy.random.default_rng(0)
    for number in range(200):
        Image.fromarray(generator.integers(0, 255, (32, 32, 3), dtype=numpy.uint8)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    block = {"name": "flat", "reader": "folder", "source": str(folder)}
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["datasets"]["flat"] = content["data"] = block
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    edit(project, pretrain={"supervised": {"method": "supervised"}}, training={"epochs": 1})
    done = run_stage(project, "", fork)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((project / "metrics/flat/prepare.json").read_text())["skipped"] == [
        "broken.png: no format of pictures that is known"
    ]
    assert "no labels" in json.loads((project / "metrics/flat/rotation/knn.json").read_text())["not_applicable"]
    assert "label" in json.loads((project / "metrics/flat/supervised/training.json").read_text())["not_applicable"]
    assert list((project / "runs/flat/supervised/curves").iterdir()) == []  # `dvc plots` draws every file in it
    assert json.loads((project / "metrics/flat/rotation_cf/cluster.json").read_text())["nmi"] is None
    assert "no labels" in (project / "results/report.html").read_text()


def test_a_half_written_file_is_never_taken_for_a_whole_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fill_the_disk():
        with files.whole_file(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
