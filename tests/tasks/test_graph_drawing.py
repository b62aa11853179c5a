"""The picture of the pipeline."""

from __future__ import annotations

import re

from tasks.reporting import graph


def test_the_graph_has_a_lane_for_each_run_and_no_box_outside() -> None:
    refits = {"a_cf": {"source": "rotation", "clusters": 10}, "b_cf": {"source": "a_cf", "clusters": 20}}
    runs = {"random": {"method": "random"}, "rotation": {"method": "rotation"}}
    drawn = graph.draw({"data": {"name": "world"}, "pretrain": runs, "clusterfit": refits, "transfer": {"knn": {}}}, {})
    for name in (*runs, *refits, "world", "K = 20", "maps", "this page"):
        assert f"<title>{name}</title>" in drawn
    height = re.search(r'viewBox="-1 0 [\d.]+ ([\d.]+)"', drawn)
    assert height
    assert max(float(y) for y in re.findall(r'<rect [^>]*y="([\d.]+)"', drawn)) + graph.BOX <= float(height.group(1))
