"""Build the LZW encoder. Without a C compiler the package is installed without it, and imagecodecs encodes."""

import sysconfig

from setuptools import Extension, setup

encoder = Extension("georeader._codecs._lzw", ["src/georeader/_codecs/_lzw.c"], py_limited_api=True, optional=True)
if sysconfig.get_config_var("Py_GIL_DISABLED"):  # free-threaded: no limited API before Python 3.15
    setup()
else:
    setup(ext_modules=[encoder], options={"bdist_wheel": {"py_limited_api": "cp311"}})
