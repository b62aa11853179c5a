from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssl_models.encoders import build_encoder
from tasks.artifacts import covey_encoder, portable
from tasks.artifacts.encoders import read_encoder
from tasks.process.files import UnreadableFile
from tasks.project.project import Project
from tasks.tracking import load_encoder, registry
from tasks.tracking.server import connect, local_uri
from tests.tasks.elsewhere import BLOCKED
from tests.tasks.records import opened

torch.set_num_threads(1)
SETTINGS = {"depth": 10, "width": 2}


def trained(folder: Path, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    encoder = build_encoder("resnet", **SETTINGS)
    encoder(torch.rand(4, 3, 16, 16))  # so that the statistics of the batch norms are not the initial ones
    folder.mkdir(parents=True, exist_ok=True)
    save_file(encoder.state_dict(), folder / "encoder.safetensors")
    (folder / "encoder.json").write_text(json.dumps({"name": "resnet", "settings": SETTINGS}))
    return encoder.eval()


def test_round_trip(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(3, 3, 16, 16)
    encoders = [trained(root / f"encoder{seed}", seed) for seed in range(2)]
    for seed in range(2):
        run = opened(root, f"key{seed}")
        for _ in range(2):
            version = registry.register_encoder(Project(root), "world.rotation", root / f"encoder{seed}", run.run_id)
            assert version == seed + 1
        run.finish({})
    (root / "sub").mkdir()
    monkeypatch.chdir(root / "sub")
    newest, first = load_encoder("world.rotation"), load_encoder("world.rotation", version=1)
    assert not newest.training
    assert torch.equal(newest(images), encoders[1](images))
    assert torch.equal(first(images), encoders[0](images))
    for wanted in (("world.absent", None), ("world.rotation", 7)):
        with pytest.raises(LookupError, match=rf"{wanted[0]}.* is not in the registry .*\['world.rotation'\]"):
            load_encoder(*wanted)


def test_it_is_an_mlflow_model_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    images = torch.rand(3, 3, 16, 16)
    encoder = trained(root / "encoder", 0)
    run = opened(root)
    shapes = {"images": (3, 16, 16)}
    registry.register_encoder(Project(root), "world.rotation", root / "encoder", run.run_id, shapes=shapes)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", local_uri(Project(root)))
    model = mlflow.pyfunc.load_model("models:/world.rotation@latest")
    assert torch.equal(torch.from_numpy(model.predict(images.numpy())), encoder(images))
    assert importlib.import_module("tasks.registry")._load_pyfunc is registry._load_pyfunc  # as older models name it
    assert model.metadata.get_input_schema().input_types()[0].name == "float32"
    files = {
        file.path for file in connect(Project(root), local_uri(Project(root))).list_artifacts(run.run_id, "encoder")
    }
    assert not [file for file in files if file.endswith(("pkl", "pt", "pth"))]
    with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
        model.predict(images.numpy()[:, :1])


def test_a_model_works_where_this_project_is_not_installed(root: Path) -> None:
    images = torch.rand(3, 3, 16, 16)
    encoder = trained(root / "encoder", 0)
    shapes = {"images": (3, 16, 16)}
    registry.register_encoder(Project(root), "world.rotation", root / "encoder", opened(root).run_id, shapes=shapes)
    save_file({"images": images}, root / "images")
    words = f"""{BLOCKED}
import mlflow
from safetensors.numpy import load_file, save_file
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/world.rotation@latest")
save_file({{"features": model.predict(load_file("images")["images"])}}, "features")
assert not [name for name in sys.modules if name.partition(".")[0] in ("ssl_models", "tasks")]
"""
    subprocess.run([sys.executable, "-c", words, local_uri(Project(root))], cwd=root, check=True, timeout=120)
    torch.testing.assert_close(load_file(root / "features")["features"], encoder(images))


def test_what_a_model_needs_is_listed_and_its_code_is_that_of_the_last_call(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run is registered again after an edit, as after a restart: two packages are stored, and one is named."""
    trained(root / "encoder", 0)
    run, shapes = opened(root), {"images": (3, 16, 16)}
    first = portable.package_name(portable.code("resnet"))
    for _ in range(2):
        registry.register_encoder(Project(root), "world.rotation", root / "encoder", run.run_id, shapes=shapes)
        code = {path: f"{text}\n# edited\n" for path, text in portable.code("resnet").items()}
        monkeypatch.setattr(portable, "code", lambda _, code=code: code)
    model = Path(run.client.download_artifacts(run.run_id, "encoder", str(root)))
    package = portable.package_in(model / "code")
    assert {path.name for path in (model / "code").iterdir()} == {
        *(first, package),
        *("covey_encoder.py", "covey_encoder.json"),
    }
    assert first != package
    assert f"loader_module: {package}\n" in (model / "MLmodel").read_text()
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert type(covey_encoder.load(model)).__module__ == f"{package}.encoders.resnet"
    lines = (model / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in lines] == ["torch", "numpy", "safetensors"]
    assert not [line for line in lines if "+" in line]
    monkeypatch.setattr(registry, "installed", {"torch": "9.8.7+cpu", "numpy": "1", "safetensors": "2"}.__getitem__)
    registry.register_encoder(Project(root), "world.rotation", root / "encoder", run.run_id, shapes=shapes)
    found = Path(run.client.download_artifacts(run.run_id, "encoder/requirements.txt", str(root / "encoder")))
    assert found.read_text() == "torch==9.8.7\nnumpy==1\nsafetensors==2\n"


def test_an_earlier_model_which_has_no_code_is_loaded_by_this_project(root: Path) -> None:
    import mlflow

    images, encoder = torch.rand(3, 3, 16, 16), trained(root / "encoder", 0)
    (root / "encoder" / "MLmodel").write_text(
        "artifact_path: encoder\nflavors:\n  python_function:\n    data: .\n"
        "    loader_module: tasks.tracking.registry\n    python_version: 3.11.1\n"
    )
    model = mlflow.pyfunc.load_model(str(root / "encoder"), suppress_warnings=True)
    assert torch.equal(torch.from_numpy(model.predict(images.numpy())), encoder(images))


@pytest.mark.parametrize(
    ("name", "settings", "part", "inputs"),
    [
        ("bag", {"vocabulary": 9, "width": 4}, "tokens", torch.randint(0, 9, (3, 6))),
        ("speech", {"width": 8, "hidden": 8}, "sound", torch.rand(3, 800) - 0.5),
    ],
)
def test_encoders_of_other_kinds_are_models_too(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, int], part: str, inputs: torch.Tensor
) -> None:
    import mlflow

    encoder = build_encoder(name, **settings).eval()
    (root / "encoder").mkdir()
    save_file(encoder.state_dict(), root / "encoder/encoder.safetensors")
    (root / "encoder/encoder.json").write_text(json.dumps({"name": name, "settings": settings}))
    shapes = {part: tuple(inputs.shape[1:])}
    registry.register_encoder(Project(root), "other.run", root / "encoder", opened(root).run_id, shapes=shapes)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", local_uri(Project(root)))
    found = mlflow.pyfunc.load_model("models:/other.run@latest").predict(inputs.numpy())
    assert torch.allclose(torch.from_numpy(found), encoder(inputs))


def test_a_folder_that_holds_no_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no encoder\.json"):
        read_encoder(tmp_path)


def test_nothing_is_registered_of_files_that_do_not_fit(root: Path) -> None:
    trained(root / "encoder", 0)
    (root / "encoder" / "encoder.json").write_text(json.dumps({"name": "resnet", "settings": {"width": 4}}))
    run = opened(root)
    with pytest.raises(UnreadableFile, match=r"encoder\.safetensors cannot be read .*loading state_dict"):
        registry.register_encoder(Project(root), "world.rotation", root / "encoder", run.run_id)
    assert run.client.list_artifacts(run.run_id) == []
