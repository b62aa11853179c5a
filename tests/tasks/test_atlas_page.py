"""The report's map in a browser: the script runs, and mouse, keyboard and a narrow dark window do what they should."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser
from tests.browser import Browser
from tests.tasks.maps import make_map
from tests.tasks.study import make, parameters, written

READY = "document.querySelector('.atlas.ready') !== null"
ATLAS = "document.querySelector('.atlas').atlas"
RUNS = ("rotation_cf", "rotation")
HOSTILE = ["</script><script>window.hurt = 1</script>.jpg", "<img src=x onerror='window.hurt = 1'>.jpg"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    content = parameters(["rotation"], ["world"])
    make(root, "world", content, pictures=False)
    columns = {"file": HOSTILE * 30, "label": ["<b>bold</b>", "plain"] * 30, "hue": [6.0 * k for k in range(60)]}
    make_map(root, "world", runs=RUNS, columns=columns)
    written(root, content)
    return root / "results/report.html"


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    if browser.PROGRAM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH: the page was not opened in a browser")
    with Browser() as tab:
        yield tab


@pytest.fixture
def opened(tab: Browser, page: Path) -> Browser:
    """The page in its first state, its map in the window."""
    tab.errors.clear()
    tab.send("Emulation.clearDeviceMetricsOverride")
    tab.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    tab.open(page, READY)
    tab.value("document.querySelector('[data-part=map]').scrollIntoView({block: 'center'})")
    tab.wait(f"{ATLAS}.canvas.drawn")
    return tab


def test_without_a_browser_the_script_is_whole_and_all_that_it_looks_for_is_there(page: Path) -> None:
    content = page.read_text()
    script = content[content.rindex("<script>") : content.rindex("</script>")]
    places = [script.index(f"class {name} ") for name in ("Thumbnails", "Drawing", "Canvas", "Atlas")]
    assert places == sorted(places)  # each after those that it is made of
    assert "{%" not in script
    asked = set(re.findall(r"""(?:part|press)\("([a-z]+)"|data-part="([a-z]+)\\?"]""", script))
    named = {one or other for one, other in asked}
    assert {"map", "legend", "query", "galleries", "closer", "failed"} <= named
    assert named <= set(re.findall(r'data-part="([a-z]+)"', content[: content.rindex("<script>")]))
    assert all(name not in content for name in HOSTILE)


def text(tab: Browser, part: str) -> str:
    return str(tab.value(f"document.querySelector('[data-part={part}]').innerText"))


def click(tab: Browser, sample: int) -> None:
    x, y = tab.value(
        f"(() => {{ const {{ left, top }} = document.querySelector('[data-part=map]').getBoundingClientRect();"
        f" const [x, y] = {ATLAS}.canvas.at({sample}); return [left + x, top + y]; }})()"
    )
    tab.mouse("mouseMoved", x, y)
    for kind in ("mousePressed", "mouseReleased"):
        tab.mouse(kind, x, y, button="left", clickCount=1)


def test_the_script_runs_and_complains_of_nothing(opened: Browser) -> None:
    assert opened.value("document.querySelector('.atlas').dataset.points") == "60"
    assert opened.value(f"{ATLAS}.canvas.pixels.some((pixel) => pixel !== 0)")
    assert opened.value("document.querySelectorAll('.galleries .cluster').length") == 6
    opened.wait("[...document.querySelectorAll('.cluster .thumb')].some((one) => one.style.backgroundImage)")
    assert opened.errors == []


def test_clusters_go_from_the_tightest_to_the_loosest_with_counts(opened: Browser) -> None:
    heads = opened.value("[...document.querySelectorAll('.cluster h5')].map((one) => one.textContent)")
    cosines = [float(re.findall(r"centre ([\d.]+)", head)[0]) for head in heads]
    assert cosines == sorted(cosines, reverse=True)
    sizes = [int(re.findall(r"(\d+) sample", head)[0]) for head in heads]
    assert sum(sizes) == 60
    counted = opened.value("document.querySelector('.cluster .names dd').textContent")
    assert sum(map(int, re.findall(r"\((\d+)\)", counted))) == sizes[0]


def test_a_click_lists_the_neighbours_by_both_runs(opened: Browser) -> None:
    sample = 7
    click(opened, sample)
    picked = int(opened.value("document.querySelector('.atlas').dataset.selected"))
    listed = opened.value(
        "[...document.querySelectorAll('.query section')].map((one) => [one.getAttribute('aria-label'),"
        " [...one.querySelectorAll('button')].map((two) => +two.dataset.pin)])"
    )
    assert [title for title, _ in listed] == ["10 neighbours by rotation", "10 neighbours by rotation_cf"]
    for run, (_, near) in zip(("run", "beside"), listed, strict=True):
        expected = opened.value(f"{ATLAS}.neighboursOf({ATLAS}.{run}, {picked}).map((one) => one.sample)")
        assert near == expected
        assert len(set(near)) == 10
    shared = len(set(listed[0][1]) & set(listed[1][1]))
    assert f"{shared} of 10 are neighbours by both runs" in text(opened, "query")
    assert opened.value("document.querySelectorAll('.query .shared').length") == 2 * shared


def test_a_sample_of_a_gallery_is_selected_and_its_neighbours_come_into_the_window(opened: Browser) -> None:
    last = "[...document.querySelectorAll('.cluster')].at(-1)"
    opened.value(f"{last}.scrollIntoView()")
    sample = opened.value(
        f"(() => {{ const one = {last}.querySelector('.strip button'); one.click(); return +one.dataset.pin }})()"
    )
    assert opened.value(f"{ATLAS}.query") == sample
    below = "document.querySelector('[data-part=query]').getBoundingClientRect().bottom"
    opened.wait(f"{below} > 0 && {below} <= innerHeight + 1")


def test_on_paper_the_counts_of_the_clusters_stand_alone(opened: Browser) -> None:
    opened.send("Emulation.setEmulatedMedia", media="print")
    seen = "[...document.querySelectorAll('{}')].filter((one) => one.checkVisibility()).length"
    assert opened.value(seen.format(".atlas canvas")) == opened.value(seen.format(".atlas .strip")) == 0
    assert opened.value(seen.format(".atlas .names")) == 6
    assert opened.value(seen.format(".atlas .on-paper")) == 1
    opened.send("Emulation.setEmulatedMedia", media="")


def test_names_are_text(opened: Browser) -> None:
    opened.value(f"{ATLAS}.pin(0, true)")
    assert HOSTILE[0] in text(opened, "query")
    assert "<b>bold</b>" in text(opened, "said")
    opened.value(f"{ATLAS}.colourBy('label')")
    assert "<b>bold</b>" in text(opened, "legend")
    assert opened.value("window.hurt === undefined && !document.querySelector('.atlas img')")
    assert opened.errors == []


def test_the_keyboard_does_what_the_mouse_does(opened: Browser) -> None:
    opened.value("document.querySelector('.map canvas').focus()")
    opened.key("ArrowRight")
    first = opened.value(f"{ATLAS}.cursor")
    assert first >= 0
    opened.key("ArrowLeft")
    second = opened.value(f"{ATLAS}.cursor")
    assert opened.value(f"{ATLAS}.canvas.points[2 * {second}] < {ATLAS}.canvas.points[2 * {first}]")
    opened.key("Enter")
    assert opened.value(f"{ATLAS}.query") == second
    near = opened.value(f"{ATLAS}.neighboursOf({ATLAS}.run, {second}).map((one) => one.sample)")
    for key, place in (("n", 0), ("n", 1), ("p", 0), ("p", -1)):
        opened.key(key)
        assert opened.value(f"{ATLAS}.cursor") == near[place]
    opened.key("+")
    assert opened.value(f"{ATLAS}.canvas.view.scale") == 1.5
    opened.key("0")
    assert opened.value(f"{ATLAS}.canvas.view.scale") == 1
    opened.key("Escape")
    assert opened.value(f"[{ATLAS}.query, {ATLAS}.cursor]") == [-1, -1]
    assert "Nothing is selected" in text(opened, "said")


def test_what_is_found_and_what_is_alone_is_lit(opened: Browser) -> None:
    opened.value(f"{ATLAS}.search('ONERROR')")
    assert opened.value(f"{ATLAS}.lit.reduce((sum, one) => sum + one)") == 30
    assert text(opened, "said").startswith("30 file names have")
    opened.value(f"{ATLAS}.colourBy('label')")
    opened.value("document.querySelector('.legend button').click()")
    assert opened.value(f"{ATLAS}.lit.reduce((sum, one) => sum + one)") == 30
    assert opened.value("document.querySelector('.legend button').getAttribute('aria-pressed')") == "true"


def test_an_angle_has_one_colour_at_both_ends(opened: Browser) -> None:
    opened.value(f"{ATLAS}.colourBy('hue')")  # from 0 to 354 degrees
    first, last, middle = opened.value(f"[0, 59, 30].map((one) => {ATLAS}.colours[one] & 255)")
    assert abs(first - last) < 16 < abs(first - middle)
    assert "both ends have one colour" in text(opened, "legend")


def test_a_narrow_dark_window_has_no_scroll_across(opened: Browser) -> None:
    light = opened.value("getComputedStyle(document.body).backgroundColor")
    opened.media(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    opened.send("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=2, mobile=True)
    opened.value(f"{ATLAS}.pin(3, false)")
    assert opened.value("document.documentElement.scrollWidth <= 400")
    assert (light, opened.value("getComputedStyle(document.body).backgroundColor")) == (
        "rgb(255, 255, 255)",
        "rgb(23, 24, 27)",
    )
    opened.wait(f"{ATLAS}.canvas.base.width === 2 * {ATLAS}.canvas.width")
    assert opened.errors == []


def test_a_browser_that_cannot_unpack_is_told_so(tab: Browser, page: Path) -> None:
    script = tab.send("Page.addScriptToEvaluateOnNewDocument", source="delete window.DecompressionStream")
    tab.open(page, "document.querySelector('.failed').textContent !== ''")
    tab.send("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    assert "it needs Chrome 80, Firefox 113, Safari 16.4" in text(tab, "failed")
