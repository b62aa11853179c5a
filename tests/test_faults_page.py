"""Every test that docs/faults.md names exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"(?P<file>[\w/]+\.py)(?:: (?P<names>test_\w+(?:, test_\w+)*))?")


def test_each_fault_is_held_by_tests_that_there_are():
    rows = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")]
    faults = [row.strip("| ").split(" | ") for row in rows if not row.startswith(("| fault", "|---"))]
    assert len(faults) > 30
    for *_, tests in faults:
        found = list(NAMED.finditer(tests))
        assert found, tests
        for match in found:
            tree = ast.parse((ROOT / "tests" / match["file"]).read_text())
            there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert set((match["names"] or "").split(", ")) - {""} <= there, match.group()
