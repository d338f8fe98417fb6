"""Band metadata follow the bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from georeader._core.band_attrs import merge_bands, merge_times, select_bands, without_bands, without_encoding
from georeader._export.plan.metadata import metadata_from_attrs, pick_bands
from georeader.errors import MetadataError

THREE: dict[str, Any] = {
    "descriptions": ["red", "green", "blue"],
    "scales": (0.1, 0.2, 0.3),
    "offsets": [1, 2, 3],
    "units": ["m", None, "s"],
    "colorinterp": ["red", "green", "blue"],
    "band_tags": [{"a": "1"}, {}, {"b": "2"}],
    "tags": {"sensor": "x"},
    "mine": [1, 2, 3],
}


@pytest.mark.parametrize(
    ("bands", "names", "scales"),
    [
        ([0, 1, 2], ["red", "green", "blue"], [0.1, 0.2, 0.3]),
        ([2, 0], ["blue", "red"], [0.3, 0.1]),
        ([1, 1], ["green", "green"], [0.2, 0.2]),
        ([], [], []),
    ],
)
def test_selection_takes_each_bands_entries_in_the_new_order(
    bands: list[int], names: list[str], scales: list[float]
) -> None:
    selected = select_bands(THREE, 3, bands)

    assert (selected["descriptions"], selected["colorinterp"], selected["scales"]) == (names, names, scales)
    assert selected["band_tags"] == [THREE["band_tags"][band] for band in bands]


def test_selection_leaves_keys_of_the_user_and_of_the_file_alone() -> None:
    selected = select_bands(THREE, 3, [0])

    assert (selected["mine"], selected["tags"]) == ([1, 2, 3], {"sensor": "x"})


def test_selection_reads_numpy_arrays_too() -> None:
    assert select_bands({"scales": np.array([0.5, 2.0])}, 2, [1])["scales"] == [2.0]


@pytest.mark.parametrize("odd", ["abc", ["one"], 3, None])
def test_selection_keeps_entries_of_another_length(odd: Any) -> None:
    assert select_bands({"descriptions": odd}, 3, [0])["descriptions"] == odd


COLOURS = [
    ("MINISWHITE", [0], True), ("MINISWHITE", [0, 2], True), ("MINISWHITE", [1, 0], False), ("MINISWHITE", [], False),
    ("RGB", [0, 1, 2], True), ("RGB", [0, 1, 2, 3], True), ("rgb", [0], False), ("RGB", [0, 2, 1], False),
    ("YCbCr", [0, 1], False),
]  # fmt: skip


@pytest.mark.parametrize(("photometric", "bands", "kept"), COLOURS)
def test_colour_model_is_dropped_if_its_bands_are_not_selected(photometric: str, bands: list[int], kept: bool) -> None:
    assert ("photometric" in select_bands({"photometric": photometric}, 4, bands)) is kept
    metadata = pick_bands(metadata_from_attrs({"photometric": photometric, "nbits": 4}, 4), bands)
    assert (metadata.photometric is not None) is kept
    assert (metadata.nbits is not None) is (bands[:1] == [0])


@pytest.mark.parametrize(("second", "kept"), [({"nbits": 4}, True), ({"nbits": 2}, False), ({}, False)])
def test_merging_keeps_nbits_common_to_all(second: dict[str, Any], kept: bool) -> None:
    first = {"photometric": "MINISWHITE", "nbits": 4}

    merged = merge_bands([(first, 1), (second, 1)])

    assert merged["photometric"] == "MINISWHITE"
    assert ("nbits" in merged) is kept


@pytest.mark.parametrize(("bands", "kept"), [([0], True), ([0, 0], False), ([], False)])
def test_colormap_is_dropped_if_its_band_is_not_selected(bands: list[int], kept: bool) -> None:
    assert ("colormap" in select_bands({"colormap": {0: (1, 2, 3, 4)}}, 1, bands)) is kept


def test_without_bands_keeps_tags_and_unknown_keys() -> None:
    assert without_bands(THREE | {"colormap": {}}) == {"tags": {"sensor": "x"}, "mine": [1, 2, 3]}


def test_without_encoding_keeps_names_and_drops_scales_units_and_colours() -> None:
    assert without_encoding(THREE | {"colormap": {}}) == {
        "descriptions": ["red", "green", "blue"],
        "band_tags": [{"a": "1"}, {}, {"b": "2"}],
        "tags": {"sensor": "x"},
        "mine": [1, 2, 3],
    }


def test_merging_concatenates_entries_of_bands() -> None:
    merged = merge_bands([(THREE, 3), ({"descriptions": ["nir"], "scales": [0.4]}, 1)])

    assert merged["descriptions"] == ["red", "green", "blue", "nir"]
    assert merged["scales"] == [0.1, 0.2, 0.3, 0.4]


def test_merging_fills_missing_entries_with_defaults() -> None:
    merged = merge_bands([({}, 1), (THREE, 3), ({}, 1)])

    assert merged["descriptions"] == [None, "red", "green", "blue", None]
    assert merged["scales"] == [1.0, 0.1, 0.2, 0.3, 1.0]
    assert merged["offsets"] == [0.0, 1, 2, 3, 0.0]
    assert merged["units"] == [None, "m", None, "s", None]
    assert merged["colorinterp"] == ["undefined", "red", "green", "blue", "undefined"]
    assert merged["band_tags"] == [{}, {"a": "1"}, {}, {"b": "2"}, {}]


def test_merging_adds_no_keys() -> None:
    assert merge_bands([({"mine": 1}, 1), ({"other": 2}, 1)]) == {"mine": 1}


@pytest.mark.parametrize(("parts", "kept"), [(1, True), (2, False)])
def test_merging_keeps_a_colormap_only_for_a_single_band(parts: int, kept: bool) -> None:
    assert ("colormap" in merge_bands([({"colormap": {0: (1, 2, 3, 4)}}, 1)] * parts)) is kept


def test_merging_times_keeps_equal_entries() -> None:
    assert merge_times([(THREE, 3), (dict(THREE), 3)]) == THREE


def test_merging_times_drops_a_name_that_differs() -> None:
    merged = merge_times([({"descriptions": ["a"], "scales": [2.0]}, 1), ({"descriptions": ["b"], "scales": [2.0]}, 1)])

    assert merged == {"scales": [2.0]}


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [("scales", [0.1], [0.2]), ("offsets", [0.0], [5.0]), ("units", ["m"], ["ft"]), ("scales", [0.1], None)],
)
def test_merging_times_with_different_scales_is_refused(key: str, first: Any, second: Any) -> None:
    with pytest.raises(MetadataError, match=rf"{key} of element 1 .* convert the numbers to one scale and unit first"):
        merge_times([({key: first}, 1), ({key: second}, 1)])


def test_merging_times_treats_a_missing_scale_as_one() -> None:
    assert merge_times([({"scales": [1.0]}, 1), ({}, 1)]) == {"scales": [1.0]}


@pytest.mark.parametrize(
    "change",
    [
        lambda attrs: select_bands(attrs, 3, [0]),
        without_bands,
        without_encoding,
        lambda attrs: merge_bands([(attrs, 3), (attrs, 3)]),
        lambda attrs: merge_times([(attrs, 3), ({"scales": attrs["scales"]} | dict(attrs, descriptions=None), 3)]),
    ],
    ids=["select", "without_bands", "without_encoding", "merge_bands", "merge_times"],
)
def test_mapping_of_the_caller_is_not_changed(change: Any) -> None:
    attrs = {key: list(value) if isinstance(value, list) else value for key, value in THREE.items()}
    changed = change(attrs)
    changed.clear()

    assert attrs == THREE
