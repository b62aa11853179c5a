"""How a map is packed for the page: read back as the page's script reads it, and how few bytes it takes."""

from __future__ import annotations

import base64
import gzip
import json
import struct

import numpy as np
import pytest

from tasks.reporting import atlas_pack
from tasks.reporting.atlas_pack import UNKNOWN, unpack


def test_a_packet_is_a_length_a_header_and_arrays_at_multiples_of_four() -> None:
    arrays = {"odd": np.array([1, 2, 65535], "<u2"), "wide": np.array([[70000], [3]], "<u4")}
    content = gzip.decompress(base64.b64decode(atlas_pack.pack({"name": "é 🐦 </script>"}, arrays)))
    (size,) = struct.unpack("<I", content[:4])
    header = json.loads(content[4 : 4 + size].decode())
    assert header["name"] == "é 🐦 </script>"
    (kind, first, length), (wide_kind, wide_first, wide_length) = header["arrays"].values()
    assert (kind, length, wide_kind, wide_length) == ("u2", 3, "u4", 2)
    assert first % 4 == wide_first % 4 == 0
    assert struct.unpack("<3H", content[first : first + 6]) == (1, 2, 65535)
    assert struct.unpack("<2I", content[wide_first : wide_first + 8]) == (70000, 3)


def test_a_packet_read_back_is_the_same_and_packing_is_the_same_each_time() -> None:
    arrays = {"a": np.arange(7, dtype="<u2"), "b": np.arange(5, dtype="<u4"), "none": np.empty(0, "<u2")}
    packet = atlas_pack.pack({"x": [1, None]}, arrays)
    header, found = unpack(packet)
    assert header["x"] == [1, None]
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert packet == atlas_pack.pack({"x": [1, None]}, arrays)
    assert not set(packet) & set("<>&\"'")


def test_a_name_that_is_no_valid_text_is_packed_all_the_same() -> None:
    header, _ = unpack(atlas_pack.pack({"file": "a\udce9.jpg"}, {}))
    assert header["file"] == "a?.jpg"


def test_numbers_are_quantised_within_half_a_step() -> None:
    values = np.random.default_rng(0).normal(0, 3, 500)
    steps, low, high = atlas_pack.quantised(values)
    assert (steps.min(), steps.max()) == (0, atlas_pack.STEPS)
    back = low + (high - low) * steps.astype(float) / atlas_pack.STEPS
    assert np.abs(back - values).max() <= (high - low) / atlas_pack.STEPS / 2 * (1 + 1e-9)


def test_what_is_not_known_stays_so() -> None:
    steps, low, high = atlas_pack.quantised([2.0, None, float("nan"), 4.0, float("inf")])
    assert (low, high) == (2.0, 4.0)
    assert steps.tolist() == [0, UNKNOWN["u2"], UNKNOWN["u2"], atlas_pack.STEPS, UNKNOWN["u2"]]
    assert atlas_pack.quantised([None, None])[0].tolist() == [UNKNOWN["u2"]] * 2
    assert atlas_pack.quantised([5.0, 5.0])[0].tolist() == [0, 0]


def test_coordinates_keep_their_proportions_and_lie_in_the_middle() -> None:
    points = atlas_pack.coordinates([0.0, 10.0, 5.0], [2.0, 4.0, 3.0])
    assert points[:, 0].tolist() == [0, 65534, 32767]
    assert points[:, 1].tolist() == [26214, 39320, 32767]  # 0.4, 0.6 and 0.5 of 65534
    assert atlas_pack.coordinates([3.0], [7.0]).tolist() == [[32767, 32767]]
    with pytest.raises(ValueError, match="no finite number"):
        atlas_pack.coordinates([0.0, float("nan")], [0.0, 1.0])


def test_indices_take_the_smallest_type_and_minus_one_is_unknown() -> None:
    small, wide = atlas_pack.indices([3, -1], 65534), atlas_pack.indices([3, -1], 65535)
    assert (small.dtype, small.tolist()) == (np.dtype("<u2"), [3, 65535])
    assert (wide.dtype, wide.tolist()) == (np.dtype("<u4"), [3, 2**32 - 1])


def test_categories_are_numbered_from_the_most_frequent() -> None:
    names, places = atlas_pack.categories(["b", "a", None, "a", 7])
    assert names == ["a", "7", "b"]
    assert places.tolist() == [2, 0, UNKNOWN["u2"], 0, 1]


def test_short_lists_are_filled() -> None:
    assert atlas_pack.rectangle([[4, 5], [6], []], 2, -1).tolist() == [[4, 5], [6, -1], [-1, -1]]
