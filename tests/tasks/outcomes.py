"""Outcomes of studies made by hand: bars, lines, and bars of one seed alone."""

from __future__ import annotations

from typing import Any

BARS: dict[str, Any] = {
    "name": "refit_gain",
    "setting": "quick",
    "title": "Refitting on clusters improves transfer",
    "claim": "A network trained afresh on the clusters of a pretext network's features transfers better than it does.",
    "source": "Yan et al., ClusterFit: Improving Generalization of Visual Representations, CVPR 2020, table 4",
    "published": {
        "measure": "mAP on VOC07, linear, of ResNet-50",
        "numbers": {"jigsaw": 66.6, "jigsaw, refitted": 70.4, "RotNet": 58.9, "RotNet, refitted": 69.3},
    },
    "remark": "",
    "axis": "",
    "seeds": [0, 1, 2],
    "points": 3,
    "seconds": 388.2,
    "verdict": "reproduced",
    "rules": [
        {
            "rule": "jigsaw_refitted > jigsaw",
            "difference": 0.0312,
            "low": 0.0118,
            "high": 0.0506,
            "outcome": "holds",
        },
        {
            "rule": "rotnet_refitted > rotnet + 0.01",
            "difference": 0.107,
            "low": 0.081,
            "high": 0.133,
            "outcome": "holds",
        },
    ],
    "ours": {
        "jigsaw": {"": [0.512, 0.498, 0.526]},
        "jigsaw_refitted": {"": [0.543, 0.523, 0.563]},
        "rotnet": {"": [0.471, 0.462, 0.48]},
        "rotnet_refitted": {"": [0.588, 0.561, 0.615]},
    },
    "machine": "x86_64, 2 cores",
}
LINES: dict[str, Any] = {
    "name": "label_noise",
    "setting": "quick",
    "title": "Clusters forgive wrong labels",
    "claim": "The more labels are wrong, the more a refit gains over the network that was trained on them.",
    "source": "Yan et al., CVPR 2020, figure 2",
    "published": {
        "measure": "top-1 on ImageNet-9K, linear",
        "numbers": {
            "pretrained": {"0": 33.1, "0.25": 31.6, "0.5": 27.4, "0.75": 20.9},
            "ClusterFit": {"0": 33.4, "0.25": 32.9, "0.5": 31.0, "0.75": 25.2},
        },
    },
    "remark": "With 2,048 pictures a quarter of the seeds' spread hides a gain of one point; 8,192 halve it.",
    "axis": "label_noise",
    "seeds": [0, 1, 2, 3],
    "points": 16,
    "seconds": 4521.0,
    "verdict": "not reproduced",
    "rules": [
        {
            "rule": "clusterfit@0.5 > pretrained@0.5 + 0.01",
            "difference": -0.0412,
            "low": -0.0601,
            "high": -0.0223,
            "outcome": "fails",
        },
        {
            "rule": "clusterfit@0.75 - pretrained@0.75 > clusterfit@0 - pretrained@0",
            "difference": 0.0094,
            "low": -0.0102,
            "high": 0.029,
            "outcome": "open",
        },
    ],
    "ours": {
        "pretrained": {
            "0": [0.712, 0.701, 0.723],
            "0.25": [0.671, 0.655, 0.687],
            "0.5": [0.602, 0.58, 0.624],
            "0.75": [0.481, 0.45, 0.512],
        },
        "clusterfit": {
            "0": [0.683, 0.67, 0.696],
            "0.25": [0.64, 0.622, 0.658],
            "0.5": [0.561, 0.549, 0.573],
            "0.75": [0.462, 0.433, 0.491],
        },
        "untrained": {"": [0.392, 0.381, 0.403]},
    },
    "machine": "x86_64, 2 cores",
}
ALONE: dict[str, Any] = {
    "name": "pretext_rank",
    "setting": "full",
    "title": "A pretext task's own accuracy says little about transfer",
    "claim": "Across methods, the accuracy of the pretext task does not rank the representations.",
    "source": "Kolesnikov et al., Revisiting Self-Supervised Visual Representation Learning, CVPR 2019, figure 4",
    "published": {
        "measure": "top-1 on ImageNet",
        "numbers": {"rotation": 47.2, "jigsaw": 38.0},
    },
    "remark": "One seed says nothing of chance: three would give an interval.",
    "axis": "",
    "seeds": [0],
    "points": 1,
    "seconds": 61.0,
    "verdict": "undecided",
    "rules": [
        {
            "rule": "jigsaw > rotation",
            "difference": -0.12,
            "low": None,
            "high": None,
            "outcome": "open",
        }
    ],
    "ours": {"rotation": {"": [0.58, None, None]}, "jigsaw": {"": [0.46, None, None]}},
    "machine": "x86_64, 8 cores",
}
