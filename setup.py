"""Build the LZW codec. Without a C compiler the package is installed without it, and imagecodecs takes its place."""

import sysconfig

from setuptools import Extension, setup

FOLDER = "src/georeader/_codecs"
encoder = Extension(
    "georeader._codecs._lzw",
    [f"{FOLDER}/_lzw.c"],
    depends=[f"{FOLDER}/_lzw_decode.h"],
    py_limited_api=True,
    optional=True,
)
if sysconfig.get_config_var("Py_GIL_DISABLED"):  # free-threaded: no limited API before Python 3.15
    setup()
else:
    setup(ext_modules=[encoder], options={"bdist_wheel": {"py_limited_api": "cp311"}})
