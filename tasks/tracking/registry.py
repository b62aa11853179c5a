"""Encoders in MLflow's model registry: safetensors, a JSON file and their code, no pickles.

A model works where this project is not installed (tasks/artifacts/portable.py). Torch is imported when one is read.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.process.files import is_temporary
from tasks.project.paths import PIPELINE
from tasks.project.project import Project
from tasks.tracking.server import call, choose_uri, connect, database, local_uri, locked

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder
    from ssl_models.standalone import Predictor

ARTIFACT = "encoder"
CODE = "code"
FILES_TAG = "covey.files"
"""The tag of a version with `files_hash` of its encoder."""


def register_encoder(
    project: Project, name: str, folder: Path, run_id: str, *, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> int:
    """Stores the encoder in `folder` with its run and in the registry as `name`; gives the version's number.

    A run has one version at most: called again, this stores the files anew and gives the same number. The newest
    version is models:/<name>@latest, an alias that MLflow keeps itself. shapes: part of a sample -> its shape, as
    {"images": (3, 32, 32)}; where one is given, the model has a signature.
    """
    client = _holder(project, run_id)
    encoder = _read(folder)  # also shows, before anything is stored, that the files can be read
    call(client.log_artifacts, run_id, str(folder), ARTIFACT)
    with tempfile.TemporaryDirectory() as model:
        _write_model(Path(model), run_id, encoder, shapes or {})
        call(client.log_artifacts, run_id, model, ARTIFACT)
    with locked(project):
        found = call(client.search_model_versions, f"name = '{name}' and run_id = '{run_id}'", max_results=1)
        if not found:
            ensure_name(client, name)
            source = f"{call(client.get_run, run_id).info.artifact_uri}/{ARTIFACT}"
            found = [call(client.create_model_version, name, source, run_id)]
        call(client.set_model_version_tag, name, found[0].version, FILES_TAG, files_hash(folder))
    return int(found[0].version)


def files_hash(folder: Path) -> str:
    """64 hexadecimal digits of the files of an encoder: its weights, its description, its classifier."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not is_temporary(path)):
        with open(path, "rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()


def load_encoder(name: str, version: int | None = None, root: Path | None = None) -> Encoder:
    """The registered encoder `name` ("world.rotation"), the newest or a given version; root: the project's folder.

    "world@champion" is the encoder that leads on the data set `world` (tasks/tracking/champion.py).

    It maps (B, ...) to (B, dim); pictures are floats in [0, 1], see ssl_models/modalities/inputs.py.
    """
    from mlflow.exceptions import MlflowException

    project = Project(root or _root())
    client = connect(project, choose_uri(project))
    try:
        if version is None:
            model, _, alias = name.partition("@")
            chosen = call(client.get_model_version_by_alias, model, alias or "latest")
        else:
            chosen = call(client.get_model_version, name, str(version))
    except MlflowException as error:
        known = sorted(model.name for model in call(client.search_registered_models, max_results=100))
        wanted = name if version is None else f"{name}, version {version}"
        raise LookupError(f"{wanted} is not in the registry at {client.tracking_uri}; known: {known}") from error
    with tempfile.TemporaryDirectory() as folder:
        return _read(Path(call(client.download_artifacts, chosen.run_id, ARTIFACT, folder)))


def _read(folder: Path) -> Encoder:
    from tasks.artifacts.encoders import read_encoder  # 0.1 s for numpy, which few who track need

    return read_encoder(folder)


def _load_pyfunc(path: str) -> Predictor:
    """Called by mlflow.pyfunc.load_model for models without code of their own, as earlier ones are."""
    from ssl_models.standalone import Predictor

    return Predictor(_read(Path(path)))


def _write_model(folder: Path, run_id: str, encoder: Encoder, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The files that make an artifact an MLflow model; requirements are given, since inferring them takes a minute."""
    from mlflow import pyfunc
    from mlflow.models import Model

    from tasks.artifacts import portable

    needed = portable.write_code(folder / CODE, *encoder.files)
    model = Model(artifact_path=ARTIFACT, run_id=run_id, signature=_signature(encoder.dim, shapes))
    package = portable.package_in(folder / CODE)
    pyfunc.add_to_model(model, loader_module=package, data=".", code=CODE, python_env="python_env.yaml")
    model.save(str(folder / "MLmodel"))
    versions = {
        name: installed(name).partition("+")[0] for name in needed
    }  # of "2.13.0+cpu" no index but torch's knows
    (folder / "requirements.txt").write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
    (folder / "python_env.yaml").write_text(
        f"python: {platform.python_version()}\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n"
    )


def _signature(dim: int, shapes: Mapping[str, tuple[int, ...]]) -> Any | None:
    """Of a model that reads one part; arrays of several would need names, which `_Predictor` does not take."""
    if len(shapes) != 1:
        return None
    import numpy
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    ((part, shape),) = shapes.items()
    given, single = numpy.dtype(numpy.int64 if part == "tokens" else numpy.float32), numpy.dtype(numpy.float32)
    return ModelSignature(Schema([TensorSpec(given, (-1, *shape))]), Schema([TensorSpec(single, (-1, dim))]))


def _holder(project: Project, run_id: str) -> Any:
    """A client of the store that has the run: the local file if it is there, else the one in use."""
    from mlflow.exceptions import MlflowException

    uri = local_uri(project) if database(project).exists() else choose_uri(project)
    client = connect(project, uri)
    try:
        call(client.get_run, run_id)
    except MlflowException:
        chosen = choose_uri(project)
        if chosen == uri:
            raise
        client = connect(project, chosen)
    return client


def ensure_name(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        call(client.create_registered_model, name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _root() -> Path:
    """The project's folder: the nearest one upwards that holds dvc.yaml or .covey, else this one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PIPELINE).exists() or Project(folder).state.is_dir():
            return folder
    return here
