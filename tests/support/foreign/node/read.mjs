// Reads GeoTIFFs with geotiff.js, all in one process.
//
// Standard input: {"window": [[first row, end], [first column, end]], "files": [path, ...], "folder": where to write}.
// Standard output: for each file a line, {"regions": {name: {"shape": [band, row, column], "dtype", "file"}}} or
// {"error"}, as soon as it is read: a crash is about the first file without a line. Pixels are written to the folder, band after band in this machine's byte order: every one of them is compared.

import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fromFile } from 'geotiff';

const MASK = 4; // NewSubfileType (TIFF 6.0, section 8): bit 2 says "transparency mask"
const YCBCR = 6; // PhotometricInterpretation (TIFF 6.0, section 21)
const DTYPES = {
  Uint8Array: 'uint8', Int8Array: 'int8', Uint16Array: 'uint16', Int16Array: 'int16', Uint32Array: 'uint32',
  Int32Array: 'int32', Float32Array: 'float32', Float64Array: 'float64',
};

async function readRegion(image, window, file) {
  // readRasters gives the bands of a JPEG in YCbCr as they are stored.
  const isYCbCr = image.fileDirectory.getValue('PhotometricInterpretation') === YCBCR;
  const bands = await (isYCbCr ? image.readRGB({ window }) : image.readRasters({ window }));
  writeFileSync(file, Buffer.concat(bands.map((band) => Buffer.from(band.buffer, band.byteOffset, band.byteLength))));
  return { shape: [bands.length, bands.height, bands.width], dtype: DTYPES[bands[0].constructor.name], file };
}

async function readFile(name, position, { window: [rows, columns], folder }) {
  const tiff = await fromFile(name);
  try {
    const images = [];
    const masks = [];
    for (let index = 0; index < await tiff.getImageCount(); index += 1) {
      const image = await tiff.getImage(index);
      ((image.fileDirectory.getValue('NewSubfileType') ?? 0) & MASK ? masks : images).push(image);
    }
    const wanted = {
      full: [images[0], undefined],
      window: [images[0], [columns[0], rows[0], columns[1], rows[1]]],
      smallest: [images.at(-1), undefined],
      ...(masks.length > 0 && { mask: [masks[0], undefined] }),
    };
    const regions = {};
    for (const [region, [image, window]] of Object.entries(wanted)) {
      regions[region] = await readRegion(image, window, path.join(folder, `${position}-${region}.raw`));
    }
    return { regions };
  } finally {
    await tiff.close();
  }
}

const job = JSON.parse(readFileSync(0, 'utf8'));
for (const [position, name] of job.files.entries()) {
  let answer;
  try {
    answer = await readFile(name, position, job);
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
