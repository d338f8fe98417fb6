"""Overviews: 2x2 pixels to one. Pure: arrays in, arrays out.

`pyramid.halve` reduces one band by two, `pyramid.reduce_block` blocks of a raster level by level. `methods.METHODS` is
the table of methods.

AVERAGE, NEAREST, MODE and RMS give what GDAL's overviews give (``gcore/overview.cpp``, compared with 3.10 and 3.12)
wherever a raster has whole 2x2 blocks, integers to the last digit and halves rounded away from zero. BILINEAR, CUBIC,
CUBICSPLINE, LANCZOS and GAUSS use GDAL's weights; MIN, MAX and MED (the smaller of two in the middle) are those of its
warper; OR is this project's. Results differ from GDAL's on purpose where

- NaN is missing, whatever the nodata, and also without one: in GDAL one NaN spreads over its overview pixel, and MODE
  counts it as a value;
- complex numbers have missing pixels: GDAL averages nodata and NaN with the rest (complex128 in single precision), and
  where MODE finds nothing valid it gives NaN;
- 64-bit integers keep all their digits: GDAL goes through doubles, which end at 2**53, and whose roots of squares are
  not sure in the last digit from about 2**40 on;
- a mean of finite numbers is finite: GDAL before 3.12 sums float32 beyond 1e38 to infinity;
- a root mean square of three zeros and another number is not zero: GDAL's vector code for float32, int16 and int8
  forgets the fourth pixel when it looks for the largest;
- a root mean square of 32 or 64-bit integers that lies on a half is rounded up: GDAL 3.12 scales before it squares,
  and loses some halves;
- an average or a root mean square that is rounded to an integer nodata moves to the number beside it: except for uint8
  and uint16, GDAL compares before it rounds;
- a dataset mask applies to MODE of uint8, too;
- a result is missing only where its 2x2 pixels are, while GDAL's kernels may fill such pixels from further away, and
  its sharpening ones leave out others; around missing pixels a kernel weighs all that are valid together, while GDAL
  goes row by row and then column by column.

At odd sides GDAL spreads the whole raster over the overview, so that blocks do not line up with pixels; here blocks are
2x2 pixels everywhere, and the last one has the pixels that are left.
"""
