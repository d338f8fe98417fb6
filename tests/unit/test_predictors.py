"""Predictors: what they make of samples, that they lose nothing, and which of them AUTO takes."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from georeader._codecs.predictors import (
    difference,
    predict,
    predictor_candidates,
    smallest_predictor,
    takes_predictor,
    unpredict,
)
from georeader._codecs.registry import CODECS
from georeader._codecs.tile_codec import TileCodec, tile_codec

REAL = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
PAIRS = [(dtype, 2) for dtype in REAL] + [("float32", 3), ("float64", 3)]


@st.composite
def tiles(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Any bits at all: NaNs with payloads, infinities, both zeros."""
    dtype = np.dtype(draw(st.sampled_from(REAL)))
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 7)), draw(st.integers(1, 4)))
    bits = draw(npst.arrays(np.uint8, (*shape, dtype.itemsize)))
    return np.ascontiguousarray(bits).view(dtype)[..., 0]


class TestRoundTrip:
    @given(tile=tiles(), predictor=st.sampled_from([1, 2, 3]))
    def test_unpredict_restores_every_bit(self, tile: np.ndarray[Any, Any], predictor: int) -> None:
        if not takes_predictor(tile.dtype, predictor):
            predictor = 2

        back = unpredict(predict(tile, predictor).tobytes(), tile.shape, tile.dtype, predictor)

        assert back.dtype == tile.dtype
        assert back.tobytes() == tile.tobytes()

    @given(tile=tiles(), predictor=st.sampled_from([1, 2, 3]))
    def test_tile_is_not_changed(self, tile: np.ndarray[Any, Any], predictor: int) -> None:
        before = tile.tobytes()
        tile.flags.writeable = False

        predict(tile, predictor if takes_predictor(tile.dtype, predictor) else 2)

        assert tile.tobytes() == before

    @pytest.mark.parametrize("predictor", [1, 2, 3])
    def test_a_tile_that_ends_too_early_is_an_error(self, predictor: int) -> None:
        with pytest.raises(ValueError, match="size"):
            unpredict(bytes(60), (4, 4, 1), np.dtype("float32"), predictor)


class TestWhatIsStored:
    @pytest.mark.parametrize(("dtype", "predictor"), PAIRS)
    @pytest.mark.parametrize("samples", [1, 3])
    def test_bytes_equal_those_of_imagecodecs(
        self, dtype: str, predictor: int, samples: int, rng: np.random.Generator
    ) -> None:
        tile = rng.integers(0, 256, (6, 10, samples * np.dtype(dtype).itemsize), dtype="uint8").view(dtype)
        encode = {2: imagecodecs.delta_encode, 3: imagecodecs.floatpred_encode}[predictor]

        stored = predict(tile, predictor)

        assert stored.tobytes() == encode(tile.view(f"u{tile.itemsize}") if predictor == 2 else tile, axis=-2).tobytes()

    def test_floating_point_lays_out_bytes_by_significance_then_differences(self) -> None:
        tile = np.array([[[1.0], [2.0]]], dtype="float32")  # 3f800000 40000000

        assert predict(tile, 3).tobytes().hex(" ") == "3f 01 40 80 00 00 00 00"

    def test_samples_are_little_endian(self) -> None:
        tile = np.array([[[0x0102], [0x0304]]], dtype="uint16")

        assert predict(tile, 1).tobytes().hex(" ") == "02 01 04 03"
        assert predict(tile, 2).tobytes().hex(" ") == "02 01 02 02"

    @pytest.mark.parametrize(("dtype", "predictor"), [*PAIRS, ("uint16", 1)])
    @pytest.mark.parametrize("samples", [1, 2])
    def test_a_tile_cut_from_a_larger_array_is_the_same(
        self, dtype: str, predictor: int, samples: int, rng: np.random.Generator
    ) -> None:
        pixels = rng.integers(0, 256, (40, 50, samples * np.dtype(dtype).itemsize), dtype="uint8").view(dtype)
        cut = pixels[5:21, 7:39]

        stored = predict(cut, predictor)

        assert stored.flags.c_contiguous
        np.testing.assert_array_equal(stored, predict(np.ascontiguousarray(cut), predictor))

    def test_bands_that_lie_one_after_the_other_are_the_same(self, rng: np.random.Generator) -> None:
        bands = rng.integers(0, 999, (3, 16, 16), dtype="uint16")
        tile = np.moveaxis(bands, 0, 2)

        np.testing.assert_array_equal(predict(tile, 2), predict(np.ascontiguousarray(tile), 2))

    @pytest.mark.parametrize("stride", [1, 2, 4])
    def test_row_not_longer_than_the_stride_is_unchanged(self, stride: int) -> None:
        row = np.arange(stride * 3, dtype="uint8").reshape(3, stride)

        np.testing.assert_array_equal(difference(row, stride), row)


@pytest.mark.parametrize(
    ("dtype", "taken"),
    [*((dtype, {1, 2}) for dtype in REAL[:8]), ("float32", {1, 2, 3}), ("float64", {1, 2, 3}), ("float16", {1}),
     ("complex64", {1}), ("complex128", {1})],
)  # fmt: skip
def test_predictor_is_accepted_by_dtype(dtype: str, taken: set[int]) -> None:
    assert {number for number in (1, 2, 3, 4) if takes_predictor(np.dtype(dtype), number)} == taken


@pytest.mark.parametrize(
    ("codec", "dtype", "candidates"),
    [
        ("LZW", "uint8", (1, 2)),
        ("deflate", "int32", (1, 2)),
        ("deflate", "int64", (1,)),
        ("ZSTD", "float32", (1, 2, 3)),
        ("ZSTD", "float64", (1, 3)),
        ("ZSTD", "complex64", (1,)),
        *((codec, "uint8", (1,)) for codec in CODECS if codec not in ("LZW", "DEFLATE", "ZSTD")),
    ],
)
def test_auto_candidates_follow_codec_and_dtype(codec: str, dtype: str, candidates: tuple[int, ...]) -> None:
    assert predictor_candidates(codec, np.dtype(dtype)) == candidates


class TestChoice:
    RAMP = np.add.outer(np.arange(64), np.arange(64) * 7)[..., np.newaxis].astype("uint16")
    CLASSES = (np.random.default_rng(1).random((64, 64, 1)) > 0.9).astype("uint16") * 600
    SMOOTH = np.cumsum(np.cumsum(np.random.default_rng(2).normal(size=(64, 64, 1)), 0), 1).astype("float32")

    @staticmethod
    def codec_for(dtype: str) -> Any:
        return lambda number: tile_codec("DEFLATE", dtype=dtype, predictor=number)

    @pytest.mark.parametrize(
        ("tile", "best"),
        [(RAMP, 2), (CLASSES, 1), (SMOOTH, 3), (RAMP.astype("float32"), 2)],
        ids=["slopes", "classes", "smooth floats", "floats that are integers"],
    )
    def test_smallest_result_is_chosen(self, tile: np.ndarray[Any, Any], best: int) -> None:
        candidates = predictor_candidates("DEFLATE", tile.dtype)
        codec_for = self.codec_for(tile.dtype.name)

        chosen = smallest_predictor([tile], codec_for, candidates)

        sizes = {number: len(codec_for(number).encode(tile)) for number in candidates}
        assert chosen == best == min(sizes, key=lambda number: sizes[number])

    def test_all_tiles_are_compared(self) -> None:
        few, many = [self.RAMP, self.CLASSES], [self.RAMP, *[self.CLASSES] * 30]

        assert smallest_predictor(few, self.codec_for("uint16"), (1, 2)) == 2
        assert smallest_predictor(many, self.codec_for("uint16"), (1, 2)) == 1

    def test_lowest_predictor_is_chosen_among_equals(self) -> None:
        def uncompressed(_: int) -> TileCodec:
            return tile_codec("NONE", dtype="uint16")

        assert smallest_predictor([self.RAMP], uncompressed, (1, 2)) == 1

    @pytest.mark.parametrize("value", [7.0, np.nan])
    def test_constant_tiles_are_not_encoded(self, value: float) -> None:
        empty = np.stack([np.full((64, 64), value), np.full((64, 64), 3.0)], axis=2).astype("float32")

        class Refuses:
            def encode(self, tile: Any) -> bytes:
                raise AssertionError("a constant tile was encoded")

        assert smallest_predictor([empty, empty], lambda _: Refuses(), (1, 2, 3)) == 1  # type: ignore[arg-type,return-value]

    def test_single_candidate_is_chosen_without_reading_tiles(self) -> None:
        def tiles() -> Any:
            raise AssertionError("a tile was read")
            yield

        assert smallest_predictor(tiles(), self.codec_for("uint16"), (2,)) == 2
