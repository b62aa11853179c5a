"""`python -m benchmarks [--quick] [NAME...]`: measures, prints as it goes, and writes benchmarks/RESULTS.md."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

NAMES = (
    *("views", "training", "extraction", "rendering", "decoding", "memory", "linear", "clustering"),
    *("words", "energies", "standing", "pipeline"),
)
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"


def main(arguments: list[str]) -> int:
    """Only a whole run at full length writes the page, so that all of it was measured together."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all, some minutes")
    parser.add_argument("--quick", action="store_true", help="a trial of seconds; its numbers mean little")
    chosen = parser.parse_args(arguments)
    if unknown := sorted(set(chosen.names) - set(NAMES)):
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose of {', '.join(NAMES)}")

    from benchmarks.measuring import QUICK, Effort
    from benchmarks.page import Page, machine_facts
    from ssl_models.hardware import pick_device, resolve_precision

    effort, page = QUICK if chosen.quick else Effort(), Page()
    whole = not chosen.quick and not chosen.names
    if (load := os.getloadavg()[0]) > 0.5:
        print(f"The machine is busy (load average {load:.1f}): two threads above all will wait for the other work.")
    facts = machine_facts(ROOT, resolve_precision("auto", pick_device())) if whole else {}
    for name in chosen.names or NAMES:
        print(f"\n{name}", flush=True)
        import_module(f"benchmarks.{name}").measure(effort, page)
    missed = [row.what for row in page.rows if not row.met]
    print(f"\nMissed: {', '.join(missed)}" if missed else "\nEvery target was met.")
    if whole:
        RESULTS.write_text(page.markdown(facts, effort.pairs), encoding="utf-8")
        print(f"Written: {RESULTS}")
    else:
        print("Not written down: benchmarks/RESULTS.md takes a whole run at full length.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
