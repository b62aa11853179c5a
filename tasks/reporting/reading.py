"""How to read each protocol's numbers: a sentence or two for the report."""

from __future__ import annotations

READING = {
    "linear": (
        "A linear classifier is trained on the frozen features of one layer; its test accuracy says how plainly "
        "the classes lie in that layer. Later layers hold more of what the pretext task asked for."
    ),
    "knn": (
        "Each test image takes the weighted vote of its nearest training images in feature space; nothing is "
        "trained, so it measures the geometry itself."
    ),
    "retrieval": (
        "Each test image is a query among the training images. map_at_r is 1 only where all of its class come "
        "before all others (chance is about the square of the class's share); recall@k asks for one right "
        "neighbour in k."
    ),
    "voc_map": (
        "One linear SVM a class on frozen features: the mean over classes of the area under precision and recall."
        " A representation that knows nothing scores the share of images that show the class."
    ),
    "finetune": (
        "The whole network is trained on from this initialisation: what is left of the pretraining once labels "
        "for all images shape everything."
    ),
    "semi_supervised": (
        "The network is fine-tuned on a share of the labels, drawn evenly from the classes, several times: what "
        "few labels suffice for."
    ),
    "detection": (
        "A detector is trained on this backbone. Average precision over overlaps from 0.5 to 0.95 as COCO defines"
        " it; ap50 asks for half an overlap only."
    ),
    "keypoints": (
        "Heat maps are read from the backbone's maps: the share of points found within a share of the object's extent."
    ),
    "surface_normals": (
        "The direction of the surface is predicted for every pixel: the share of pixels within an angle of the "
        "truth, and the angle itself, of which less is better."
    ),
    "invariance": (
        "1: the representation does not notice the change; 0: the changed picture is as unlike its original as "
        "another picture is. A good representation is near 1 for nuisances and near 0 for the class; more is not "
        "better in itself."
    ),
    "embedding": (
        "Neighbours in the map mean something; distances between groups and their sizes do not. Trustworthiness "
        "says whether the map is faithful to the features, not whether they are good."
    ),
}


def reading(protocol: str) -> str:
    """How to read a protocol's numbers, in a sentence or two."""
    return READING.get(protocol, f"What it measures is told in ssl_models/protocols/{protocol}.py.")
