// A COG: its levels, decoded tiles and values, read by geotiff.js.

import { GeoTIFF } from 'geotiff';
import { RangeSource } from './source.js';

/** Decoded tiles are kept up to so many bytes. */
const KEPT_BYTES = 192 * 2 ** 20;

export class Raster {
  /**
   * @param {object} facts What the server knows of the file.
   * @param {(request: object) => void} report Called after each request.
   */
  constructor(facts, report) {
    this.facts = facts;
    this.source = new RangeSource(facts, report);
    this.tiff = null;
    this.images = new Map();
    this.tiles = new Map(); // by key, in order of their last use: {reading, tile, bytes}
    this.keptBytes = 0;
    this.nodata = facts.nodata === null ? null : Number(facts.nodata); // "NaN" is a text in JSON
    this.levels = facts.levels.map((level) => ({ ...level, ...factorsOf(facts, level) }));
  }

  image(directory) {
    this.tiff ??= GeoTIFF.fromSource(this.source);
    if (!this.images.has(directory)) this.images.set(directory, this.tiff.then((tiff) => tiff.getImage(directory)));
    return this.images.get(directory);
  }

  /**
   * Returns a tile of some bands, counted from 0: {width, height, data: [values of each band], mask}. Tiles at the right
   * and lower edge are as wide and high as what lies inside the raster. mask is null where there is none.
   */
  tile(level, column, row, bands) {
    const key = keyOf(level, column, row, bands);
    let kept = this.tiles.get(key);
    if (kept) {
      this.tiles.delete(key);
    } else {
      kept = { reading: this.read(level, column, row, bands), tile: null, bytes: 0 };
      kept.reading.then((tile) => this.keep(key, kept, tile), () => this.tiles.delete(key));
    }
    this.tiles.set(key, kept);
    return kept.reading;
  }

  keep(key, kept, tile) {
    kept.tile = tile;
    kept.bytes = [...tile.data, ...(tile.mask ? [tile.mask] : [])].reduce((sum, array) => sum + array.byteLength, 0);
    this.keptBytes += kept.bytes;
    for (const [oldest, entry] of this.tiles) {
      if (this.keptBytes <= KEPT_BYTES || oldest === key) break;
      if (entry.tile) {
        this.tiles.delete(oldest);
        this.keptBytes -= entry.bytes;
      }
    }
  }

  async read(number, column, row, bands) {
    const level = this.levels[number];
    const left = column * level.tile_width;
    const top = row * level.tile_height;
    const window = [left, top, Math.min(left + level.tile_width, level.width), Math.min(top + level.tile_height, level.height)];
    const [data, mask] = await Promise.all([
      this.readBands(level, column, row, window, bands),
      level.mask === null ? null : this.readMask(level.mask, window),
    ]);
    return { width: window[2] - window[0], height: window[3] - window[1], data, mask };
  }

  async readBands(level, column, row, window, bands) {
    const image = await this.image(level.directory);
    if (this.facts.is_ycbcr) { // readRasters returns the stored components
      const colours = await image.readRGB({ window });
      return bands.map((band) => colours[band]);
    }
    const data = await image.readRasters({ window, samples: [...bands] });
    const across = Math.ceil(level.width / level.tile_width);
    const down = Math.ceil(level.height / level.tile_height);
    for (const [position, band] of bands.entries()) { // geotiff.js fills sparse tiles with 0 where nodata is NaN
      const plane = level.planes > 1 ? band : 0;
      const tile = (plane * down + row) * across + column;
      const sizes = level.is_tiled ? 'TileByteCounts' : 'StripByteCounts';
      if (this.nodata !== null && Number(await image.fileDirectory.loadValueIndexed(sizes, tile)) === 0) {
        data[position].fill(this.nodata);
      }
    }
    return Array.from(data);
  }

  async readMask(directory, window) {
    const image = await this.image(directory);
    const [mask] = await image.readRasters({ window, samples: [0] });
    return mask;
  }

  /** Returns where a pixel of the full resolution lies in a level: its tile, and its index in it. */
  place(number, column, row) {
    const level = this.levels[number];
    const x = Math.min(Math.floor(column / level.factorX), level.width - 1);
    const y = Math.min(Math.floor(row / level.factorY), level.height - 1);
    const tile = [Math.floor(x / level.tile_width), Math.floor(y / level.tile_height)];
    const width = Math.min(level.tile_width, level.width - tile[0] * level.tile_width);
    return { tile, index: (y % level.tile_height) * width + (x % level.tile_width) };
  }

  /** Reads the values of bands at a pixel of the full resolution, in a level. */
  async values(number, column, row, bands) {
    const { tile, index } = this.place(number, column, row);
    return valuesAt(await this.tile(number, ...tile, bands), index);
  }

  /** Returns the same values if their tile is decoded already, else null. */
  keptValues(number, column, row, bands) {
    const { tile, index } = this.place(number, column, row);
    const kept = this.tiles.get(keyOf(number, ...tile, bands));
    return kept?.tile ? valuesAt(kept.tile, index) : null;
  }

  /** Iterates over the tiles of the smallest level. */
  async* smallestLevel(bands) {
    const number = this.levels.length - 1;
    const level = this.levels[number];
    const across = Math.ceil(level.width / level.tile_width);
    const count = across * Math.ceil(level.height / level.tile_height);
    const reading = Array.from({ length: count }, (_, tile) => this.tile(number, tile % across, Math.floor(tile / across), bands));
    for (const tile of reading) yield await tile;
  }

  /** Returns why a value is missing: "masked", "nodata" or "NaN"; "" if it is not. */
  missing(value, isMasked) {
    if (isMasked) return 'masked';
    if (value === this.nodata) return 'nodata';
    if (!Number.isNaN(value)) return '';
    return Number.isNaN(this.nodata) ? 'nodata' : 'NaN';
  }
}

const keyOf = (level, column, row, bands) => `${level}/${column}/${row}/${bands}`;

const valuesAt = (tile, index) => ({ values: tile.data.map((band) => band[index]), isMasked: tile.mask?.[index] === 0 });

/** Overviews halve, and sizes are rounded up: the factor is a whole number, unless another program made the overview. */
function factorsOf(facts, level) {
  const factor = (whole, part) => {
    const rounded = Math.round(whole / part);
    return Math.ceil(whole / rounded) === part || Math.floor(whole / rounded) === part ? rounded : whole / part;
  };
  const [factorX, factorY] = [factor(facts.width, level.width), factor(facts.height, level.height)];
  const isOne = Math.abs(factorX - factorY) <= 1 && level.width > 1 && level.height > 1;
  return isOne ? { factorX, factorY } : { factorX: Math.max(factorX, factorY), factorY: Math.max(factorX, factorY) };
}
