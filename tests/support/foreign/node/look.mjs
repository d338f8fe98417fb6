// Shows GeoTIFFs by geotiff.js' readRGB, as OpenLayers does with convertToRGB, all in one process.
//
// Standard input: {"files": [path, ...], "folder": where to write}.
// Standard output: for each file a line, {"picture": {"shape": [band, row, column], "dtype", "file"}} or {"error"}.

import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fromFile } from 'geotiff';

const DTYPES = { Uint8Array: 'uint8', Uint8ClampedArray: 'uint8', Uint16Array: 'uint16' };

async function look(name, file) {
  const tiff = await fromFile(name);
  try {
    const bands = await (await tiff.getImage(0)).readRGB({ enableAlpha: true });
    writeFileSync(file, Buffer.concat(bands.map((band) => Buffer.from(band.buffer, band.byteOffset, band.byteLength))));
    return { shape: [bands.length, bands.height, bands.width], dtype: DTYPES[bands[0].constructor.name], file };
  } finally {
    await tiff.close();
  }
}

const job = JSON.parse(readFileSync(0, 'utf8'));
for (const [position, name] of job.files.entries()) {
  let answer;
  try {
    answer = { picture: await look(name, path.join(job.folder, `${position}.raw`)) };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
