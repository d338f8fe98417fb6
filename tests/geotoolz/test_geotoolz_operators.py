"""Operators: calls with GeoTensors, configurations, reprs and sequences."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.errors import NotGeoreferencedWarning

import geotoolz
from georeader import GeoTensor, RasterioReader, save_cog
from georeader.errors import GeoreaderError, OptionError
from geotoolz import Operator, Sequential
from geotoolz.catalog_ops import WriteCOG
from geotoolz.cloud import MaskClouds
from geotoolz.indices import NDVI
from geotoolz.presets.s2 import S2_L2A_NDVI
from geotoolz_helpers import TRANSFORM, Add, Fails, stack_of

SCOPE = {
    "NDVI": NDVI, "MaskClouds": MaskClouds, "Sequential": Sequential, "WriteCOG": WriteCOG, "Add": Add,
    "S2_L2A_NDVI": S2_L2A_NDVI,
}  # fmt: skip

OPERATORS = [
    NDVI(0, 3),
    MaskClouds(scl_idx=2, classes=[3, 9, 8, 3]),
    Add(2.5),
    S2_L2A_NDVI(),
    S2_L2A_NDVI(red_idx=np.int64(1), boa_add_offset=0, path=Path("a.tif"), profile_arg={"nodata": float("nan")}),
    WriteCOG("s3://out/{tile_id}_{date:%Y%m%d}.tif", tags={"model": "v2"}, overwrite=False),
    Sequential([MaskClouds(2), Sequential([NDVI(0, 1)]), WriteCOG("{a}.tif", profile_arg={"compress": "zstd"})]),
    Sequential([]),
]


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_repr_is_code_of_an_equal_operator(operator: Operator) -> None:
    again = eval(repr(operator), SCOPE)

    assert again == operator
    assert again.get_config() == operator.get_config() or "nan" in repr(operator)
    assert hash(again) == hash(operator)


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_a_configuration_is_plain_json(operator: Operator) -> None:
    config = operator.get_config()

    assert repr(json.loads(json.dumps(config))) == repr(config)


@pytest.mark.parametrize("operator", [one for one in OPERATORS if not isinstance(one, Sequential)], ids=repr)
def test_a_configuration_holds_the_arguments_of_the_constructor(operator: Operator) -> None:
    assert type(operator)(**operator.get_config()) == operator


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_operators_are_picklable_and_frozen(operator: Operator) -> None:
    assert pickle.loads(pickle.dumps(operator)) == operator
    name = next(iter(operator.get_config()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(operator, name, 7)


def test_operators_of_other_arguments_or_classes_are_not_equal() -> None:
    assert NDVI(0, 1) != NDVI(1, 0)
    assert Add(1) != NDVI(0, 1)
    assert WriteCOG("a.tif", fs=object()) != WriteCOG("a.tif", fs=object())


def test_repr_leaves_out_defaults_and_secrets() -> None:
    operator = WriteCOG("https://host/{a}.tif", http_headers={"Authorization": "Bearer abcd"}, verify=True)

    assert repr(S2_L2A_NDVI(red="B05")) == "S2_L2A_NDVI(red='B05')"
    assert "abcd" not in repr(operator) + json.dumps(operator.get_config())
    assert "http_headers=..." in repr(operator)


def test_lazy_reader_is_loaded_and_its_name_kept_in_attrs(tmp_path: Path) -> None:
    save_cog(stack_of([100, 200], [300, 0]), tmp_path / "a.tif")

    result = NDVI(0, 1)(RasterioReader(tmp_path / "a.tif"))

    np.testing.assert_array_equal(result.values, np.float32([[[0.5, np.nan]]]))
    assert result.attrs["source"] == str(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "raster", [np.zeros((2, 4, 4)), "a.tif", None, RasterioReader], ids=["array", "path", "None", "class"]
)
def test_other_inputs_than_tensors_and_readers_are_refused(raster: object) -> None:
    with pytest.raises(OptionError, match="takes a GeoTensor or a lazy reader"):
        NDVI(0, 1)(raster)


def test_operator_that_defines_call_receives_lazy_readers() -> None:
    class Shape(Operator):
        is_terminal = True

        def __call__(self, raster: object) -> object:
            return raster.shape

    assert Sequential([Shape()])(stack_of([1], [2])) == (2, 1, 1)


def test_operator_without_apply_raises_not_implemented_error() -> None:
    with pytest.raises(NotImplementedError, match="neither apply"):
        Operator()(stack_of([1]))


def test_a_sequence_runs_in_order_and_nests() -> None:
    inner = Sequential([Add(1), Add(2)])

    result = Sequential([inner, Add(10)])(stack_of([1, 2], dtype="float32"))

    np.testing.assert_array_equal(result.values[0, 0], [14, 15])
    assert len(inner) == 2
    assert list(inner) == [Add(1), Add(2)]


def test_empty_sequence_returns_its_input() -> None:
    gt = stack_of([1])

    assert Sequential([])(gt) is gt


@pytest.mark.parametrize(
    "operators",
    [
        [WriteCOG("{a}.tif"), NDVI(0, 1)],
        [NDVI(0, 1), WriteCOG("{a}.tif"), WriteCOG("{b}.tif")],
        [Sequential([NDVI(0, 1), WriteCOG("{a}.tif")]), NDVI(0, 1)],
        [Sequential([Sequential([WriteCOG("{a}.tif")])]), NDVI(0, 1)],
    ],
    ids=["first", "twice", "nested", "nested twice"],
)
def test_a_terminal_operator_before_the_end_is_refused_when_the_sequence_is_built(operators: list[Operator]) -> None:
    with pytest.raises(OptionError, match="is terminal: it returns no GeoTensor for element"):
        Sequential(operators)


def test_a_sequence_that_ends_with_a_terminal_operator_is_terminal() -> None:
    assert Sequential([NDVI(0, 1), WriteCOG("{a}.tif")]).is_terminal
    assert not Sequential([NDVI(0, 1)]).is_terminal
    assert not Sequential([]).is_terminal


@pytest.mark.parametrize("operators", [NDVI(0, 1), [NDVI], [len], "ab", None], ids=repr)
def test_sequential_of_other_things_than_operators_is_refused(operators: object) -> None:
    with pytest.raises(OptionError, match="Sequential"):
        Sequential(operators)


def test_operator_without_a_tensor_that_is_not_terminal_is_named() -> None:
    class Mean(Operator):
        def apply(self, gt: object) -> object:
            return float(gt.values.mean())

    with pytest.raises(OptionError, match="element 0 of Sequential, a Mean, returned a float"):
        Sequential([Mean(), Add(1)])(stack_of([1]))


def test_arguments_without_a_json_type_are_refused_by_name() -> None:
    with pytest.raises(OptionError, match=r"tags\['a'\] is a object"):
        WriteCOG("{a}.tif", tags={"a": object()})
    with pytest.raises(OptionError, match="number is a complex"):
        Add(1j).get_config()


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a sequence"])
def test_warnings_of_a_save_point_to_the_line_of_the_caller(nested: bool, tmp_path: Path) -> None:
    gt = GeoTensor(np.ones((1, 8, 8), "uint8"), TRANSFORM, None, 0, attrs={"row": {"tile": "a"}})
    write = WriteCOG(str(tmp_path / "{tile}.tif"))

    with pytest.warns(NotGeoreferencedWarning) as caught:
        (Sequential([write]) if nested else write)(gt)

    assert [one.filename for one in caught] == [__file__]


def test_arguments_of_the_caller_are_copied_and_not_changed() -> None:
    profile = {"compress": "zstd", "RESAMPLING": ["average"]}
    operator = WriteCOG("{a}.tif", profile_arg=profile)
    profile["RESAMPLING"].append("mode")

    assert operator.get_config()["profile_arg"]["RESAMPLING"] == ["average"]


def test_the_public_names_exist() -> None:
    assert geotoolz.indices.NDVI is NDVI
    assert geotoolz.presets.s2.S2_L2A_NDVI is S2_L2A_NDVI
    assert geotoolz.catalog_ops.WriteCOG is WriteCOG
    assert geotoolz.cloud.MaskClouds is MaskClouds
    assert issubclass(geotoolz.RowError, GeoreaderError)
    assert Fails().outputs({}) == ()


class Scaled(Operator):
    """Keeps its argument under another name."""

    def __init__(self, factor: float) -> None:
        self.by = factor

    def apply(self, gt: GeoTensor) -> GeoTensor:
        return gt * self.by


@pytest.mark.parametrize("make", [lambda: Scaled(2.0), lambda: Add(np.ones(2))], ids=["not kept", "an array"])
def test_operator_without_a_configuration_has_repr_and_equality(make: Callable[[], Operator]) -> None:
    one, other = make(), make()

    assert repr(Sequential([one])) == f"Sequential([{type(one).__name__}(...)])"
    assert (one == one, one == other, len({one, other})) == (True, False, 2)
