from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ssl_models.encoders import build_encoder
from tasks.artifacts.encoders import read_encoder
from tasks.process.files import UnreadableFile
from tasks.project.project import Project
from tasks.tracking import load_encoder, registry
from tasks.tracking.server import connect, local_uri
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
