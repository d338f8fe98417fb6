// Reads what @cogeotiff/core offers of COGs that are served over HTTP: facts of each image, and its tiles as they are.
//
// Standard input: {"files": [url, ...]}.
// Standard output: for each file a line, {"images": [{"size", "tileSize", "compression", "noData", "epsg", "origin",
// "resolution", "tiles": [SHA-1 of a tile's bytes, or null where there is none]}]} or {"error"}.

import { createHash } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { Tiff } from '@cogeotiff/core';

class Source {
  constructor(url) {
    this.url = new URL(url);
  }

  async fetch(offset, length) {
    const response = await fetch(this.url, { headers: { range: `bytes=${offset}-${offset + length - 1}` } });
    if (response.status !== 206) throw new Error(`status ${response.status}`);
    return response.arrayBuffer();
  }
}

async function describe(image) {
  const { size, tileSize, tileCount } = image;
  const places = Array.from({ length: tileCount.x * tileCount.y }, (_, index) => [index % tileCount.x, Math.floor(index / tileCount.x)]);
  const tiles = await Promise.all(places.map(([x, y]) => image.getTile(x, y)));
  return {
    size: [size.width, size.height],
    tileSize: [tileSize.width, tileSize.height],
    compression: image.compression,
    noData: image.noData === null ? null : String(image.noData),
    epsg: image.epsg,
    origin: image.isGeoTagsLoaded && image.isGeoLocated ? image.origin.slice(0, 2) : null,
    resolution: image.isGeoTagsLoaded && image.isGeoLocated ? image.resolution.slice(0, 2) : null,
    tiles: tiles.map((tile) => tile && createHash('sha1').update(new Uint8Array(tile.bytes)).digest('hex')),
  };
}

async function readFile(url) {
  const tiff = await Tiff.create(new Source(url));
  for (const image of tiff.images) await image.loadGeoTiffTags();
  return { images: await Promise.all(tiff.images.map(describe)) };
}

for (const url of JSON.parse(readFileSync(0, 'utf8')).files) {
  let answer;
  try {
    answer = await readFile(url);
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
