"""What the winner cost and what to try next: only what the numbers at hand speak for."""

from __future__ import annotations

from PIL import Image

from ssl_models.protocols._common.score import Score
from tasks.reporting import advice
from tasks.reporting.runs import PRETRAINED, Run
from tasks.reporting.tables import DataSet
from tasks.settings import readers
from tasks.settings.edit import select_data
from tasks.settings.params import check_parameters, read
from tests.tasks.conftest import ROOT


def scored(name, value=0.5, half=0.02, **fields):
    score = Score("", "top1", value, value - half, value + half)
    return Run(
        name,
        fields.pop("source", None),
        fields.pop("method", "simclr"),
        protocols={"knn": {"scores": [score]}},
        **fields,
    )


def steps(data, winner, word):
    return [sentence for sentence in advice.next_steps(data, winner) if word in sentence]


def test_the_cost_counts_what_it_was_made_from():
    source = scored("a", training={"training_seconds": 60.0, "peak_memory": 2**30, "device": "cpu"})
    refit = scored(
        "a_cf",
        source="a",
        training={"training_seconds": 30.0, "peak_memory": 2**29, "device": "cpu", "precision": "float32"},
        cluster={"seconds": 5.0},
    )
    data = DataSet("photos", [source, refit])
    assert advice.cost(data, source) == "It took 1 min 00 s and 1.1 GB of memory (cpu)."  # 1,073,741,824 bytes
    told = "It took 1 min 35 s and 1.1 GB of memory (cpu, float32), with a, which it was made from."
    assert advice.cost(data, refit) == told


def test_a_cost_that_is_not_known_is_said_to_be_so():
    source = scored("a", training={"loss": 1.0})
    refit = scored("a_cf", source="a", training={"training_seconds": 30.0}, cluster={"seconds": 1.0})
    assert "not known" in advice.cost(DataSet("photos", [source, refit]), refit)
    taken = scored("dino", method=PRETRAINED, training={"trained": False})
    assert advice.cost(DataSet("photos", [taken]), taken) == "It was not trained here."


def test_seeds_are_advised_where_a_rival_is_close_and_only_there():
    winner, close, far = scored("a"), scored("b", 0.49), scored("c", 0.3)
    (said,) = steps(DataSet("photos", [winner, close, far]), winner, "seeds")
    assert "since b cannot" in said
    assert "`targets: [a-knn, b-knn]`" in said
    assert not steps(DataSet("photos", [winner, far]), winner, "seeds")


def test_a_refit_is_advised_to_a_run_that_has_none():
    winner = scored("a")
    refit = scored("a_cf", 0.1, source="a")
    assert "`a_cf: {source: a, clusters: 128}`" in steps(DataSet("photos", [winner]), winner, "ClusterFit")[0]
    assert not steps(DataSet("photos", [winner, refit]), winner, "ClusterFit")


def test_a_longer_training_is_advised_while_the_loss_still_falls():
    def winner(*losses):
        return scored("a", curve=[{"loss": loss} for loss in losses], training={"epochs": len(losses)})

    falling, flat, short = winner(4.0, 3.0, 2.0, 1.8), winner(4.0, 3.0, 2.0, 1.99), winner(4.0, 3.0, 2.0)
    assert "fell by 10 %" in steps(DataSet("photos", [falling]), falling, "longer")[0]
    assert "`epochs: 8`" in steps(DataSet("photos", [falling]), falling, "longer")[0]
    assert not steps(DataSet("photos", [flat]), flat, "longer")
    assert not steps(DataSet("photos", [short]), short, "longer")


def test_a_longer_training_is_advised_to_what_does_not_pass_the_floor():
    winner = scored("a", training={"epochs": 2})
    floor, low = scored("random", 0.49, method="random"), scored("random", 0.3, method="random")
    assert "untrained network" in steps(DataSet("photos", [winner, floor]), winner, "longer")[0]
    assert not steps(DataSet("photos", [winner, low]), winner, "longer")


def test_a_larger_size_is_advised_where_the_pictures_have_it():
    def data(size, side):
        return DataSet(
            "photos",
            [scored("a"), scored("a_cf", 0.1, source="a")],
            {"shapes": {"images": [3, size, size]}, "side": side},
        )

    def advised(size, side):
        found = data(size, side)
        return steps(found, found.runs[0], "larger size")

    assert "`covey run --size 128` costs some 4 times" in advised(64, 3000)[0]
    assert "--size 100`" in advised(50, 100)[0]
    assert not advised(64, 127)
    assert not advised(224, 3000)
    assert not advised(64, None)


def test_published_weights_are_advised_where_there_are_none_yet():
    prepared = {"shapes": {"images": [3, 64, 64]}, "train": 900}
    winner, taken = scored("a"), scored("dino", 0.1, method=PRETRAINED)
    assert "with 900 training pictures" in steps(DataSet("photos", [winner], prepared), winner, "Published")[0]
    assert not steps(DataSet("photos", [winner, taken], prepared), winner, "Published")
    assert not steps(DataSet("speech", [winner], {"shapes": {"sound": [16000]}}), winner, "Published")


def test_labels_are_advised_where_pictures_have_none_and_no_more_than_four_steps_are():
    prepared = {"shapes": {"images": [3, 64, 64]}, "train": 900, "labelled": False, "side": 3000}
    winner = scored("a", curve=[{"loss": loss} for loss in (4.0, 3.0, 2.0, 1.0)], training={"epochs": 4})
    data = DataSet("photos", [winner, scored("b")], prepared)
    found = advice.next_steps(data, winner)
    assert len(found) == advice.MOST
    assert any(sentence.startswith("Labels for") for sentence in found)
    assert not steps(DataSet("photos", [winner], prepared | {"labelled": True}), winner, "Labels")
    winner.protocols["labelled"] = {}
    assert not steps(DataSet("photos", [winner], prepared), winner, "Labels")


def test_the_labels_that_are_advised_are_a_target_and_change_nothing_that_was_trained(tmp_path, monkeypatch):
    photos = tmp_path / "my photos, 2024"
    for index in range(60):
        path = photos / str(index % 3) / "deep" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (index, 0, 0)).save(path)
    rows = "".join(f"{index % 3}/deep/{index}.png,{'ab'[index % 2]}\n" for index in range(40))
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    for name in ("ssl_models", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    select_data(tmp_path, str(photos))
    before = read(tmp_path)
    prepared = {"shapes": {"images": [3, 40, 40]}, "labelled": False}
    data = DataSet("photos", [scored("a")], prepared, block=dict(before["data"]))
    (said,) = steps(data, data.runs[0], "Labels")
    of_data, of_target = (part for part in said.split("`") if part.startswith("labelled: "))
    text = (tmp_path / "params.yaml").read_text()
    text = text.replace("\ndatasets:\n", f"\ndatasets:\n  {of_data}\n", 1)
    text = text.replace("\n    targets:  #", f"\n    targets:\n      {of_target}\n      #", 1)
    (tmp_path / "params.yaml").write_text(text)
    after = read(tmp_path)
    check_parameters(after, tmp_path)
    target = after["targets"].pop("labelled")
    assert readers.told(tmp_path, target["data"], 0).endswith(
        "40 pictures, 20 left out: 20 with no label in labels.csv"
    )
    unchanged = ("data", "pretrain", "clusterfit", "training", "encoder", "targets")
    assert [after[name] for name in unchanged] == [before[name] for name in unchanged]
