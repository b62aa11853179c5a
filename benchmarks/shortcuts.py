"""`python -m benchmarks.shortcuts [--quick]`: how far pretext tasks on video are answered with no idea of the object.

Writes the tables between `<!-- shortcuts -->` and `<!-- /table -->` of docs/video.md. Some minutes, most of them
for the trainings of the two methods themselves.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import order_alone, sound_alone
from benchmarks.answering import Answer
from benchmarks.page import table
from ssl_models.datasets import world_sound, world_video
from ssl_models.trainer import Settings
from tasks.process.files import whole_file

PAGE = "docs/video.md"
BLOCK = re.compile(r"(<!-- shortcuts -->\n)(.*?)(<!-- /table -->)", re.DOTALL)
ROOT = Path(__file__).parents[1]
QUICK = {"train": 96, "test": 96}
TOLD = "shortcuts by a small network (64, 64); clips of the test split; 95 % intervals over clips; one seed"


def main(arguments: list[str], root: Path | None = None) -> int:
    """0; only a whole measurement writes the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shortcuts", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a trial of seconds; its numbers mean nothing")
    quick = parser.parse_args(arguments).quick
    torch.set_num_threads(1)
    text = markdown(*measure(quick=quick))
    print(text)
    if not quick:
        place = (root or Path.cwd()) / PAGE
        with whole_file(place) as path:
            path.write_text(written(place.read_text(encoding="utf-8"), text), encoding="utf-8")
        print(f"the tables of {PAGE}: written")
    return 0


def measure(*, quick: bool) -> tuple[list[Answer], tuple[str, ...], list[Answer], list[Answer]]:
    """Answers of the order, the names of the actions, answers of the pairs, and of the places."""
    few: dict[str, Any] = QUICK if quick else {}
    moving = world_video.load(seed=0, **few)
    actions = moving.label_sets["action"]
    settings = _settings("video", "shuffle_and_learn", quick=quick)
    order = order_alone.measure(moving.train, moving.test, len(actions), settings)
    sounding = world_sound.load(seed=0, **few)
    settings = _settings("audiovisual", "audio_visual", quick=quick)
    return order, actions, *sound_alone.measure(sounding.train, sounding.test, settings)


def markdown(order: list[Answer], actions: tuple[str, ...], pairs: list[Answer], places: list[Answer]) -> str:
    """The three tables, with their titles."""
    parts = [
        ("The order of three frames, % right; chance is 50", order, actions),
        ("Whether a sound belongs to a frame, % right; chance is 50", pairs, ()),
        ("Where the sound comes from: % of the places in the box of what sounds", places, ()),
    ]
    texts = []
    for title, answers, groups in parts:
        rows = [[one.what, _cell(one), *(f"{100 * share:.0f}" for share in one.groups)] for one in answers]
        texts.append(f"**{title}**\n\n{table(('answered from', 'all', *groups), rows)}\n")
    return "\n".join([*texts, f"*{TOLD}*\n"])


def written(page: str, text: str) -> str:
    """The page with these tables. Raises ValueError for a page that has no place for them."""
    if not BLOCK.search(page):
        raise ValueError(f"{PAGE} has no line `<!-- shortcuts -->`, with `<!-- /table -->` after it, for the tables")
    return BLOCK.sub(lambda found: found[1] + text + found[3], page)


def _settings(kind: str, run: str, *, quick: bool) -> Settings:
    """Of the training of a run of params.yaml."""
    blocks = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["kinds"][kind]
    named = {field.name for field in fields(Settings)}
    given = {key: value for key, value in (blocks["training"] | blocks["pretrain"][run]).items() if key in named}
    return Settings(**(given | {"monitor": False} | ({"epochs": 1, "warmup_epochs": 0.1} if quick else {})))


def _cell(one: Answer) -> str:
    """ "50.3 (49.1–51.5)"."""
    return f"{100 * one.share:.1f} ({100 * one.low:.1f}–{100 * one.high:.1f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
