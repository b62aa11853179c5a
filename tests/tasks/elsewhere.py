"""A process in which this project is not installed."""

BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("ssl_models", "tasks", "flows"):
            raise ModuleNotFoundError(f"{name} is not there", name=name)
sys.meta_path.insert(0, Absent())
"""
"""Makes a process one in which nothing of this project can be imported."""
