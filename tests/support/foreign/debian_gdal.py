"""Debian's GDAL on files: its readings, and the report of its COG validator. Run by /usr/bin/python3.

It is older than rasterio's (3.6 in Debian 12) and stands on Debian's libtiff and codecs, not on those that GDAL brings.

Standard input: {"window": [[first row, end], [first column, end]], "files": [path, ...], "folder": where to write}.
Standard output: for each file a line, as soon as it is read: {"faults": what the validator and opening it say,
"regions": {name: .npy file in the folder}, or "error": why it cannot be read}.
"""

import json
import sys
from pathlib import Path

import numpy as np
from osgeo import gdal
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate


def read_regions(dataset, rows, columns):
    """Return name -> array: (band, row, column); the mask is (row, column)."""
    band = dataset.GetRasterBand(1)
    bands = [dataset.GetRasterBand(number + 1) for number in range(dataset.RasterCount)]
    levels = band.GetOverviewCount()
    smallest = [one.GetOverview(levels - 1) if levels else one for one in bands]
    window = (columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
    found = {
        "full": np.stack([one.ReadAsArray() for one in bands]),
        "window": np.stack([one.ReadAsArray(*window) for one in bands]),
        "smallest": np.stack([one.ReadAsArray() for one in smallest]),
    }
    if band.GetMaskFlags() == gdal.GMF_PER_DATASET:
        found["mask"] = band.GetMaskBand().ReadAsArray()
    return found


def read_summary(path, prefix, job):
    """Validate and read one file; return the findings."""
    said = []
    report = {"faults": said}
    gdal.PushErrorHandler(lambda level, number, text: said.append(text))
    try:
        dataset = gdal.Open(path)
        warnings, errors, _ = validate(dataset, full_check=True)
        report["faults"] = [*errors, *warnings, *said]
        said.clear()
        arrays = read_regions(dataset, *job["window"])
    except RuntimeError as error:
        return report | {"error": str(error)}
    finally:
        gdal.PopErrorHandler()
    if said:
        return report | {"error": "; ".join(said)}
    for name, array in arrays.items():
        np.save(f"{prefix}-{name}.npy", array)
    return report | {"regions": {name: f"{prefix}-{name}.npy" for name in arrays}}


if __name__ == "__main__":
    gdal.UseExceptions()
    job = json.load(sys.stdin)
    for number, path in enumerate(job["files"]):
        print(json.dumps(read_summary(path, Path(job["folder"]) / str(number), job)), flush=True)
