"""The code that leaves the project with an encoder works without it, beside it, and beside another version."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssl_models.encoders import build_encoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.standalone import Predictor, load
from tasks.artifacts import covey_encoder, portable
from tests.tasks.elsewhere import BLOCKED

torch.set_num_threads(1)
PICTURES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SOUND = PICTURES.reshape(2, -1)[:, :800] - 0.5
STATES = torch.bernoulli(torch.full((2, 9), 0.5), generator=torch.Generator().manual_seed(0))
INPUTS = {
    "rbm": ({"visible": 9}, STATES),
    "boltzmann": ({"visible": 9}, STATES),
    "energy_net": ({"visible": 9, "binary": True, "width": 8}, STATES),
    "resnet": ({"depth": 10, "width": 4}, PICTURES),
    "lightness": ({"of": "resnet", "settings": {"depth": 10, "width": 4}}, PICTURES),
    "split": ({"depth": 10, "width": 4}, PICTURES),
    "bag": ({"vocabulary": 9, "width": 4}, torch.tensor([[1, 2, 0], [3, 8, 8]])),
    "speech": ({"width": 8, "hidden": 8}, SOUND),
    "torchvision": ({"model": "squeezenet1_1"}, PICTURES),
    "timm": ({"model": "resnet10t"}, PICTURES),
    "vit": ({"width": 16, "depth": 2, "heads": 2, "size": [32, 32]}, PICTURES),
    "spectrogram": ({"width": 4}, SOUND),
    "two_tower": ({"depth": 10, "width": 4}, (PICTURES, SOUND)),
}
"""Encoder -> its settings, and what it is given; several where it reads several parts."""


def stored(folder: Path, name: str, settings: dict) -> Encoder:
    """An encoder in a folder, as a training leaves it, and its code."""
    torch.manual_seed(0)
    encoder = build_encoder(name, **settings).eval()
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in encoder.state_dict().items()}, folder / "encoder.safetensors")
    (folder / "encoder.json").write_text(json.dumps({"name": name, "settings": encoder.settings}))
    portable.write_code(folder, *encoder.files)
    return encoder


def several(inputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_encoder_works_in_a_process_without_this_project(tmp_path: Path) -> None:
    sources = Path(portable.__file__).parents[2].glob("ssl_models/encoders/*.py")
    assert {path.stem for path in sources if "\nENCODER" in path.read_text()} == set(INPUTS)
    expected = {}
    for name, (settings, inputs) in INPUTS.items():
        encoder = stored(tmp_path / name, name, settings)
        with torch.inference_mode():
            expected[name] = encoder(*several(inputs))
        save_file({str(number): one.clone() for number, one in enumerate(several(inputs))}, tmp_path / name / "inputs")
    words = f"""{BLOCKED}
folder = sys.argv[1]
sys.path.append(folder + "/resnet")
import torch
from covey_encoder import load
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
with torch.inference_mode():
    given = {{name: load_file(f"{{folder}}/{{name}}/inputs") for name in {sorted(INPUTS)}}}
    found = {{name: load(f"{{folder}}/{{name}}")(*(each[key] for key in sorted(each))) for name, each in given.items()}}
save_file(found, folder + "/outputs")
assert not [name for name in sys.modules if name.partition(".")[0] in ("ssl_models", "tasks")]
"""
    subprocess.run([sys.executable, "-c", words, str(tmp_path)], cwd=tmp_path, check=True, timeout=120)
    found = load_file(tmp_path / "outputs")
    for name in INPUTS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_arrays_of_several_parts_are_given_in_a_list(tmp_path: Path) -> None:
    settings, inputs = INPUTS["two_tower"]
    encoder = stored(tmp_path / "both", "two_tower", settings)
    found = Predictor(load(tmp_path / "both")).predict([one.numpy() for one in inputs])
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(found), encoder(*inputs))


def test_two_versions_and_this_project_share_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    settings, pictures = INPUTS["resnet"]
    encoder = stored(tmp_path / "new", "resnet", settings)
    own = portable.code

    def changed(name: str) -> dict[str, str]:
        """An earlier version, whose representations were twice as large."""
        texts = own(name)
        path = "ssl_models/encoders/resnet.py"
        return texts | {path: texts[path] + "\n\nResNet.vectors_of = lambda self, x: 2 * Encoder.vectors_of(self, x)\n"}

    monkeypatch.setattr(portable, "code", changed)
    stored(tmp_path / "old", "resnet", settings)
    new, old = covey_encoder.load(tmp_path / "new"), covey_encoder.load(str(tmp_path / "old"))
    again = covey_encoder.load(tmp_path / "new")
    assert not new.training
    assert torch.equal(new(pictures), encoder(pictures))
    assert torch.equal(old(pictures), 2 * encoder(pictures))
    assert type(again) is type(new)
    assert len({type(one).__module__ for one in (new, old, encoder)}) == 3
    assert not isinstance(new, Encoder)


def test_the_same_sources_leave_the_same_bytes_and_no_package_of_before(tmp_path: Path) -> None:
    portable.write_code(tmp_path / "a", "resnet")
    (tmp_path / "b" / "covey_encoder_0123456789ab").mkdir(parents=True)
    (tmp_path / "b" / "covey_encoder_mine").mkdir()
    portable.write_code(tmp_path / "b", "bag")
    portable.write_code(tmp_path / "b", "resnet")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert (tmp_path / "b" / "covey_encoder_mine").is_dir()
    assert {path.name for path in (tmp_path / "b").iterdir()} - {"covey_encoder.py", "covey_encoder.json"} == {
        "covey_encoder_mine",
        portable.package_in(tmp_path / "b"),
    }


def test_no_import_leads_out_of_the_package(tmp_path: Path) -> None:
    for name in INPUTS:
        portable.write_code(tmp_path / name, name)
        (package,) = (tmp_path / name).glob("covey_encoder_*")
        for path in package.rglob("*.py"):
            tree = ast.parse(path.read_text())
            froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not {one.partition(".")[0] for one in froms | plain} & {"ssl_models", "tasks", "flows"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from ssl_models.a import b\n", "from own.a import b\n"),
        ("from ssl_models import a\n", "from own import a\n"),
        ("import ssl_models.a.b\n", "import own.a.b\n"),
        ('import_module(f"ssl_models.encoders.{name}")\n', 'import_module(f"own.encoders.{name}")\n'),
        ("from my_ssl_models.a import b  # ssl_models/a.py\n", "from my_ssl_models.a import b  # ssl_models/a.py\n"),
    ],
)
def test_modules_are_renamed_and_paths_are_not(text: str, expected: str) -> None:
    assert portable.renamed(text, "own") == expected


@pytest.mark.parametrize(
    ("name", "more"), [("resnet", []), ("bag", []), ("timm", ["timm"]), ("torchvision", ["torchvision"])]
)
def test_what_has_to_be_installed(tmp_path: Path, name: str, more: list[str]) -> None:
    assert portable.write_code(tmp_path, name) == ["torch", "numpy", "safetensors", *more]


@pytest.mark.parametrize("name", ["absent", "encoder", "library", "../encoders/resnet", ""])
def test_what_is_no_encoder_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"there is no encoder '{name}'"):
        portable.write_code(tmp_path, name)
    assert not files(tmp_path)


def test_a_folder_without_an_encoders_code_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path} holds no covey_encoder\.json"):
        covey_encoder.load(tmp_path)
