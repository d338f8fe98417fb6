"""Build the LZW encoder. Without a C compiler the package is installed without it, and imagecodecs encodes."""

from setuptools import Extension, setup

encoder = Extension("georeader._codecs._lzw", ["src/georeader/_codecs/_lzw.c"], py_limited_api=True, optional=True)
setup(ext_modules=[encoder], options={"bdist_wheel": {"py_limited_api": "cp311"}})
