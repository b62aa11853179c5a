"""The block `schedules`: what it means, and that mistakes in it are told beforehand."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

from tasks.settings import params, schedules
from tasks.settings.schema import ParameterError
from tasks.settings.stage_kinds import kind_of
from tasks.staleness import pipeline

ROOT = Path(__file__).parents[2]


def content(**blocks):
    return yaml.safe_load((ROOT / "params.yaml").read_text()) | {"schedules": blocks}


def test_the_projects_own_schedules_can_be_read():
    found = schedules.read(params.load(ROOT))
    assert found["nightly"].command == "covey run"
    assert (found["nightly"].paused, found["nightly"].overlap, found["nightly"].catch_up) == (False, "skip", True)
    assert found["weekly"].command == "covey sweep seeds"
    assert found["weekly"].paused


def test_what_is_given_is_kept(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    block = {"cron": "0 4 * * 0", "run": ["rotation", "linear"], "overlap": "queue", "catch_up": False}
    found = schedules.read({"schedules": {"a": block, "b": {"cron": "@", "run": [], "timezone": "Europe/Paris"}}})
    assert found["a"] == schedules.Schedule(
        "a", "0 4 * * 0", "Asia/Tokyo", ("rotation", "linear"), overlap="queue", catch_up=False
    )
    assert found["a"].command == "covey run rotation linear"
    assert found["b"].timezone == "Europe/Paris"


def test_a_time_zone_that_the_system_does_not_tell_is_utc(monkeypatch):
    monkeypatch.setenv("TZ", "nowhere")
    monkeypatch.setattr(schedules.os.path, "realpath", lambda _: "/etc/localtime")
    assert schedules.local_timezone() == "UTC"


def test_no_block_means_no_schedule():
    assert schedules.read({}) == {}
    assert schedules.read({"schedules": None}) == {}
    with pytest.raises(ParameterError, match="unknown schedule 'nightly'"):
        schedules.find({}, "nightly")


@pytest.mark.parametrize(
    ("cron", "times"),
    [
        ("30 2 * * *", ["2025-01-01 02:30", "2025-01-02 02:30"]),
        ("*/15 18 * * mon-fri", ["2025-01-01 18:00", "2025-01-01 18:15"]),
        ("0 0 1,15 jan,jul *", ["2025-01-15 00:00", "2025-07-01 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("5/20 12 * * 7", ["2025-01-05 12:05", "2025-01-05 12:25"]),
        ("0 0 29 2 sun", ["2025-02-02 00:00", "2025-02-09 00:00"]),
    ],
)
def test_a_cron_that_is_accepted_is_due_when_it_says_so(cron, times):
    """By the clock of Prefect, which runs it."""
    schedules.check_cron(cron, "here")
    start = datetime(2025, 1, 1, 0, 1, tzinfo=UTC)
    found = asyncio.run(CronSchedule(cron=cron, timezone="UTC").get_dates(2, start))
    assert [f"{time:%Y-%m-%d %H:%M}" for time in found] == times


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("30 2 * *", 'has 4 fields; a cron expression has 5, as in "30 2 .*: minute, hour'),
        ("60 2 * * *", """'60' in "60 2 .*" is not a valid minute; use 0 to 59, with"""),
        ("0 24 * * *", "'24' .* is not a valid hour"),
        ("0 0 0 * *", "is not a valid day of the month; use 1 to 31"),
        ("0 0 * 13 *", "is not a valid month; use 1 to 12 or jan to dec"),
        ("0 0 * * sum", "is not a valid day of the week"),
        ("0 0 * * 5-1", "'5-1' .* is not a valid day of the week"),
        ("*/0 * * * *", "is not a valid minute"),
        ("1,,2 * * * *", "'1,,2' .* is not a valid minute"),
        ("*/x * * * *", "is not a valid minute"),
        ("0 0 L * *", "is not a valid day of the month"),  # Prefect and cronsim read these differently
        ("0 0 * * 5L", "is not a valid day of the week"),
        ("0 0 * * 5#2", "is not a valid day of the week"),
        ("0 30 2 * * *", "has 6 fields"),
        ("0 0 30 2 *", "a date that never comes"),
        ("0 0 31 4,6 *", "a date that never comes"),
        ("0 0 31 2 sun", "a date that never comes"),
        ("@daily", "has 1 fields"),
    ],
)
def test_a_cron_that_cannot_be_is_refused(cron, told):
    with pytest.raises(ParameterError, match=told) as error:
        schedules.check_cron(cron, "schedules.nightly.cron")
    assert str(error.value).startswith("schedules.nightly.cron: ")


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"run": []}, "'cron' is missing"),
        ({"cron": "0 4 * * 0"}, "must have either 'run'"),
        ({"cron": "0 4 * * 0", "run": [], "sweep": "seeds"}, "must have either 'run'"),
        ({"cron": "0 4 * * 0", "run": "rotation"}, "run: 'rotation' is not of type list"),
        ({"cron": "0 4 * * 0", "run": ["rotatoin"]}, "unknown target 'rotatoin'. Did you mean 'rotation'?"),
        ({"cron": "0 4 * * 0", "run": [], "overlop": "skip"}, "unknown setting 'overlop'. Did you mean 'overlap'?"),
        ({"cron": "0 4 * * 0", "run": [], "overlap": "both"}, "overlap: unknown value 'both'. Known: queue, skip."),
        ({"cron": "0 4 * * 0", "run": [], "timezone": "Europe/Pari"}, "Did you mean 'Europe/Paris'"),
        ({"cron": "0 4 * * 0", "run": [], "paused": "yes"}, "paused: 'yes' is not of type bool"),
        ({"cron": "0 4 * * 0", "sweep": "nothing"}, "unknown sweep 'nothing'"),
        ({"cron": "0 4 * * 0", "sweep": "../secret"}, "is not the name of a sweep"),
        ({"cron": 5, "run": []}, "cron: 5 is not of type str"),
        (["0 4 * * 0"], "must be a mapping of settings"),
    ],
)
def test_a_mistake_is_refused_with_its_place(block, told):
    with pytest.raises(ParameterError) as error:
        params.check_parameters(content(nightly=block), ROOT)
    assert "schedules.nightly" in str(error.value)
    assert told in str(error.value)


def test_names_and_the_block_itself_are_checked():
    with pytest.raises(ParameterError, match="the name 'every night' cannot be used"):
        params.check_parameters(content(**{"every night": {"cron": "0 4 * * 0", "run": []}}), ROOT)
    with pytest.raises(ParameterError, match="'schedules' must be a mapping"):
        params.check_parameters(content() | {"schedules": ["nightly"]}, ROOT)


def test_whatever_covey_run_accepts_may_be_a_target():
    stages = pipeline.resolved(ROOT)
    words = {part for name in stages for part in (name, kind_of(name), *re.split("[@-]", name))}
    keys = {name.partition("@")[2] for name in stages if "@" in name}
    assert words | keys <= schedules.targets(params.load(ROOT), ROOT)
    parameters = content(nightly={"cron": "0 4 * * 0", "run": ["train", "rotation-linear"]})
    params.check_parameters(parameters, ROOT)
    assert schedules.read(parameters)["nightly"].command == "covey run train rotation-linear"


def test_a_sweep_has_a_file_unless_it_is_paused(tmp_path):
    block = {"cron": "0 4 * * 0", "sweep": "mine"}
    with pytest.raises(ParameterError, match="unknown sweep 'mine'"):
        schedules.check_schedules({"schedules": {"weekly": block}}, tmp_path)
    schedules.check_schedules({"schedules": {"weekly": block | {"paused": True}}}, tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.yaml").touch()
    schedules.check_schedules({"schedules": {"weekly": block}}, tmp_path)
