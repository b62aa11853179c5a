"""The alias `champion` is at the encoder that the verdict names, whatever happened before."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks import report
from tasks.process.files import UnreadableFile
from tasks.project import paths
from tasks.project.project import Project
from tasks.tracking import champion, load_encoder, registry, server
from tests.tasks.records import execute, fork, opened, outcome
from tests.tasks.test_registry import trained

PICTURES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def train(root: Path, run: str, seed: int) -> torch.nn.Module:
    """What a stage leaves: an encoder in its folder, registered by its MLflow run."""
    folder = root / "runs" / "photos" / run / "encoder"
    encoder = trained(folder, seed)
    record = opened(root, f"{run}{seed}")
    registry.register_encoder(Project(root), f"photos.{run}", folder, record.run_id)
    record.finish({})
    return encoder


def crown(root: Path, run: str, sentence: str = "It leads.") -> str:
    return champion.crown(Project(root), "photos", run, root / "runs" / "photos" / run / "encoder", sentence)


def versions(root: Path) -> list[Any]:
    found = client(root).search_model_versions("name = 'photos'")
    return sorted(found, key=lambda version: int(version.version))


def client(root: Path) -> Any:
    return server.connect(Project(root), server.local_uri(Project(root)))


def same(root: Path, encoder: torch.nn.Module) -> bool:
    return torch.equal(load_encoder("photos@champion", root=root)(PICTURES), encoder(PICTURES))


def test_it_moves_with_the_verdict_and_with_a_new_training(root: Path) -> None:
    rotation, simclr = train(root, "rotation", 0), train(root, "simclr", 1)
    assert crown(root, "rotation") == crown(root, "rotation") == ""
    assert same(root, rotation)
    assert len(versions(root)) == 1
    assert crown(root, "simclr", "simclr transfers best.") == ""
    assert same(root, simclr)
    again = train(root, "simclr", 2)
    assert same(root, simclr)
    assert crown(root, "simclr") == ""
    assert same(root, again)
    assert [version.tags["covey.run"] for version in versions(root)] == ["rotation", "simclr", "simclr"]
    assert [version.description for version in versions(root)] == ["It leads.", "simclr transfers best.", "It leads."]
    trained(root / "runs/photos/simclr/encoder", 1)  # the first one, as DVC restores it; the newest version is another
    assert crown(root, "simclr") == crown(root, "simclr") == ""
    assert same(root, simclr)
    assert len(versions(root)) == 3
    assert same(root, simclr)
    champion.depose(Project(root), "photos")
    with pytest.raises(LookupError, match="photos@champion is not in the registry"):
        load_encoder("photos@champion", root=root)
    assert champion.depose(Project(root), "photos") == champion.depose(Project(root), "never") == ""


def test_mlflow_itself_loads_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    encoder = train(root, "rotation", 0)
    crown(root, "rotation")
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", server.local_uri(Project(root)))
    model = mlflow.pyfunc.load_model("models:/photos@champion")
    assert torch.equal(torch.from_numpy(model.predict(PICTURES.numpy())), encoder(PICTURES))


def test_a_kill_after_any_write_is_made_good(root: Path) -> None:
    train(root, "rotation", 0)
    writes = ("create_registered_model", "create_model_version", "update_model_version", "set_registered_model_alias")
    from mlflow import MlflowClient

    for name in writes:

        def dies(name: str = name) -> None:
            own = getattr(MlflowClient, name)

            def killed(*arguments: Any, **keywords: Any) -> None:
                own(*arguments, **keywords)
                signal.raise_signal(signal.SIGKILL)

            setattr(MlflowClient, name, killed)
            crown(root, "rotation", f"Killed after {name}.")

        assert outcome(fork(dies)) == -signal.SIGKILL
        assert crown(root, "rotation") == ""
        assert len(versions(root)) == 1
        assert execute(root, "SELECT alias, version FROM registered_model_aliases WHERE name = 'photos'") == [
            ("champion", 1)
        ]
        for table in ("registered_model_aliases", "model_version_tags", "model_versions", "registered_models"):
            execute(root, f"DELETE FROM {table} WHERE name = 'photos'")


def test_an_encoder_that_is_registered_nowhere_leaves_it(root: Path) -> None:
    rotation = train(root, "rotation", 0)
    crown(root, "rotation")
    trained(root / "runs/photos/simclr/encoder", 1)
    assert crown(root, "simclr") == (
        "MLflow has no photos.simclr with the weights of this project, so photos@champion stays as it is."
    )
    assert same(root, rotation)


def test_a_model_from_before_files_were_noted_is_taken_for_the_one_of_the_project(root: Path) -> None:
    rotation = train(root, "rotation", 0)
    execute(root, "DELETE FROM model_version_tags")
    assert crown(root, "rotation") == ""
    assert same(root, rotation)


def test_a_server_that_is_gone_is_no_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotation = train(root, "rotation", 0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert crown(root, "rotation") == ""
    assert same(root, rotation)


@pytest.mark.parametrize("fault", [UnreadableFile(Path("file"), " is damaged"), OSError("no disk")])
def test_the_report_stands_without_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Exception
) -> None:
    def fails(*_: Any) -> str:
        raise fault

    monkeypatch.setattr(report, "write", lambda *_: [SimpleNamespace(name="photos")])
    monkeypatch.setattr(report, "winner", lambda _: None)
    monkeypatch.setattr(champion, "depose", fails)
    context = SimpleNamespace(project=Project(tmp_path))
    assert len(report.report(context).artifacts) == 3
    assert capsys.readouterr().err == f"MLflow was not told which run leads on photos ({fault}).\n"
    monkeypatch.setenv(paths.WORK, str(tmp_path))  # a point of a sweep
    report.report(context)
    assert capsys.readouterr().err == ""


def test_the_report_names_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(report, "write", lambda *_: [SimpleNamespace(name="photos")])
    monkeypatch.setattr(report, "winner", lambda _: SimpleNamespace(name="a"))
    monkeypatch.setattr(report, "verdict", lambda _: ["a leads.", "It was shown more."])
    monkeypatch.setattr(champion, "crown", lambda *words: told.append(words) or "")
    report.report(SimpleNamespace(project=Project(tmp_path)))
    assert told == [(Project(tmp_path), "photos", "a", tmp_path / "runs/photos/a/encoder", "a leads.")]
