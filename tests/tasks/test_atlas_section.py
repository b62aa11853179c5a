"""The report's map: what the page holds of maps/<data>, how large it is, and what it says where there is none."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks import report
from tasks.artifacts.tables import read_table, write_table
from tasks.project.project import Project
from tasks.reporting import atlas_section, records
from tasks.reporting.atlas_pack import STEPS, UNKNOWN, unpack
from tests.tasks.maps import make_map
from tests.tasks.study import make, parameters, written
from tests.tasks.test_report import text_of

CONTENT = parameters(["rotation"], ["world"])
HOSTILE = ["</script><script>alert(1)</script>.jpg", "a\"'b/<img src=x onerror=alert(2)>.jpg", "אבג/🐦.jpg"]


def section(root: Path, allowance: int = atlas_section.PAGE_BYTES) -> dict[str, Any]:
    project = Project.given(root, CONTENT)
    return atlas_section.section(project, records.collect(project, CONTENT, {})[0], allowance)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    make(tmp_path, "world", CONTENT, pictures=False)
    return tmp_path


def test_the_page_holds_what_the_folder_holds(study: Path) -> None:
    folder = make_map(study, "world", runs=("rotation_cf", "rotation"))
    found = section(study)
    assert [name for name, _ in found["runs"]] == ["rotation", "rotation_cf"]  # the winner first
    header, arrays = unpack(found["head"])
    samples = read_table(folder / "samples.parquet")
    assert header["files"] == samples["file"]
    assert header["rows"] == samples["row"]
    columns = {column["name"]: column for column in header["columns"]}
    assert [columns["label"]["values"][place] for place in arrays["label"]] == samples["label"]
    assert [columns["split"]["values"][place] for place in arrays["split"]] == samples["split"]
    size = columns["size"]
    back = size["low"] + (size["high"] - size["low"]) * arrays["size"].astype(float) / STEPS
    assert np.allclose(back, samples["size"], atol=1e-5)
    assert (columns["background_hue"]["angle"], size["angle"]) == (True, False)
    for name, packet in found["runs"]:
        table = read_table(folder / f"run-{name}.parquet")
        run, content = unpack(packet)
        assert content["cluster"].tolist() == table["cluster"]
        assert content["neighbours"].reshape(60, 10).tolist() == table["neighbours"]
        between = content["neighbour_distances"].reshape(60, 10) / STEPS * run["ranges"]["neighbour_distances"][1]
        assert np.allclose(between, table["neighbour_distances"], atol=1e-4)
        assert np.allclose(content["distance"] / STEPS * run["ranges"]["distance"][1], table["distance"], atol=1e-4)
        assert [-1 if group == UNKNOWN["u2"] else group for group in content["duplicate"]] == table["duplicate"]
        assert (run["below"], run["clusters"], run["tightness"][0]) == (0.02, 6, 0.95)


def test_maps_json_says_which_factors_are_angles_whatever_they_span(study: Path) -> None:
    folder = make_map(study, "world")
    facts = json.loads((folder / "maps.json").read_text())
    (folder / "maps.json").write_text(json.dumps(facts | {"angles": ["size"]}))
    columns = {column["name"]: column for column in unpack(section(study)["head"])[0]["columns"]}
    assert (columns["background_hue"]["angle"], columns["size"]["angle"]) == (False, True)


def test_sheets_are_embedded_once_and_as_they_are_where_there_is_room(study: Path) -> None:
    folder = make_map(study, "world")
    found = section(study)
    assert [base64.b64decode(sheet) for sheet in found["sheets"]] == [(folder / "sheet-000.webp").read_bytes()]
    page, _ = written(study, CONTENT)
    assert page.count(found["sheets"][0]) == 1


def test_sheets_are_made_smaller_where_there_is_not(study: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 32, 32, 3), dtype=np.uint8)
    make_map(study, "world", pictures=noise)
    full = sum(map(len, section(study)["sheets"]))
    found = section(study, 25_000)
    layout = unpack(found["head"])[0]["thumbnails"]
    assert sum(map(len, found["sheets"])) < 25_000 < full
    assert layout["width"] == layout["height"] < 32
    with Image.open(io.BytesIO(base64.b64decode(found["sheets"][0]))) as sheet:
        assert sheet.size == (40 * layout["width"], 2 * layout["height"])  # 60 pictures, 40 in a row


def test_runs_that_find_no_room_are_named(study: Path) -> None:
    make_map(study, "world", runs=("a", "b", "rotation"))
    each = len(section(study)["runs"][0][1])
    found = section(study, int(2 * 2.2 * each))
    assert [name for name, _ in found["runs"]] == ["rotation", "a"]
    assert found["left_out"] == ["b"]
    assert [name for name, _ in section(study, 10)["runs"]] == ["rotation"]  # one is always shown


def test_twenty_thousand_samples_leave_room_for_eight_megabytes_of_thumbnails(study: Path) -> None:
    names = [f"holiday 2024/day {k % 30}/IMG_{k:06}.jpg" for k in range(20_000)]
    hue = np.random.default_rng(0).uniform(0, 360, 20_000).tolist()
    columns = {"file": names, "label": [f"class {k % 10}" for k in range(20_000)], "hue": hue}
    make_map(study, "world", samples=20_000, columns=columns, clusters=24)
    found = section(study)
    packed = len(found["head"]) + len(found["runs"][0][1])
    assert packed < 1_500_000
    assert packed + 8_000_000 * 4 / 3 < atlas_section.PAGE_BYTES
    page, _ = written(study, CONTENT)
    rest = len(page.encode()) - packed - sum(map(len, found["sheets"]))
    assert rest < 15_000_000 - atlas_section.PAGE_BYTES


def test_names_cannot_leave_their_place(study: Path) -> None:
    columns = {"file": HOSTILE * 20, "label": ["</script><b>", "x", None] * 20}
    make_map(study, "world", columns=columns)
    page, _ = written(study, CONTENT)
    assert "alert(" not in page
    assert "</script><b>" not in page
    assert unpack(section(study)["head"])[0]["files"][:3] == HOSTILE
    content = re.findall(r"<script(?: [^>]*)?>(.*?)</script>", page, flags=re.DOTALL)
    assert all(re.fullmatch(r"[A-Za-z0-9+/=\s]*", text) for text in content[:-1])  # base64, but for the script itself


def test_a_run_of_any_name_stays_an_attribute(study: Path) -> None:
    make_map(study, "world", runs=('a"><b>',))
    page, _ = written(study, CONTENT)
    assert "a&#34;&gt;&lt;b&gt;" in page
    assert 'a"><b>' not in page


def test_the_page_may_run_its_own_script_and_fetch_nothing(study: Path) -> None:
    bare, _ = written(study, CONTENT)
    assert "script-src" not in bare
    make_map(study, "world")
    page, _ = written(study, CONTENT)
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{allowed}'" in policy
    assert "connect-src" not in policy
    assert not re.search(r"https?:|<link|@import|\bsrc=", page)


def test_without_pictures_labels_and_files_there_is_still_a_map(study: Path) -> None:
    folder = make_map(study, "world", columns={}, samples=3, clusters=2)
    facts = json.loads((folder / "maps.json").read_text())
    (folder / "maps.json").write_text(json.dumps(facts | {"thumbnails": None, "winner": None}))
    found = section(study)
    assert (found["sheets"], found["with_files"]) == ([], False)
    assert unpack(found["head"])[0]["thumbnails"]["count"] == 0
    _, arrays = unpack(found["runs"][0][1])
    assert arrays["neighbours"].reshape(3, 10)[:, 2:].tolist() == [[UNKNOWN["u2"]] * 8] * 3  # two neighbours at most
    page, _ = written(study, CONTENT)
    assert "find <input" not in page


def test_where_there_is_no_map_a_sentence_says_why(study: Path) -> None:
    page, _ = written(study, CONTENT)
    assert "There is no map yet: maps/world/maps.json was not found. covey run makes it." in text_of(page)
    assert "<script" not in page
    folder = study / "maps/world"
    folder.mkdir(parents=True)
    (folder / "NOT_APPLICABLE").write_text("a map takes 20 samples, and 'world' has 3\n")
    page, _ = written(study, CONTENT)
    assert "There is no map of world: a map takes 20 samples, and 'world' has 3." in html.unescape(text_of(page))


def test_a_map_of_before_is_not_shown_where_its_stage_failed(study: Path) -> None:
    make_map(study, "world")
    project = Project.given(study, CONTENT)
    report.write_incomplete(project, {"atlas": ("skipped", "because pretrain@rotation failed")})
    page = (study / "results/report.html").read_text()
    assert "There is no map: the stage atlas was skipped (because pretrain@rotation failed)." in text_of(page)
    assert "<script" not in page


def test_what_is_damaged_is_named(study: Path) -> None:
    folder = make_map(study, "world")
    table = read_table(folder / "run-rotation.parquet")
    write_table(folder / "run-rotation.parquet", table | {"x": [float("nan")] * 60})
    with pytest.raises(ValueError, match=r"run-rotation\.parquet is not what the stage atlas writes \(a coordinate"):
        section(study)
    write_table(folder / "run-rotation.parquet", {name: values[:9] for name, values in table.items()})
    with pytest.raises(ValueError, match=r"run-rotation\.parquet has not 60 rows"):
        section(study)
    (folder / "run-rotation.parquet").unlink()
    with pytest.raises(ValueError, match=r"run-rotation\.parquet was not found"):
        section(study)
    write_table(folder / "run-rotation.parquet", table)
    (folder / "sheet-000.webp").unlink()
    with pytest.raises(ValueError, match=r"sheet-000\.webp was not found"):
        section(study)
    (folder / "maps.json").write_text('{"runs": ["rotation"]}')
    with pytest.raises(ValueError, match=r"maps\.json lacks 'samples'"):
        section(study)


def test_two_data_sets_share_the_room(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world", "photos"])
    for name in ("world", "photos"):
        make(tmp_path, name, content, pictures=False)
        make_map(tmp_path, name)
    project = Project.given(tmp_path, content)
    data = records.collect(project, content, {})
    assert atlas_section.shares(project, data) == atlas_section.PAGE_BYTES // 2
    page, _ = written(tmp_path, content)
    assert page.count('<div class="atlas">') == 2
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
