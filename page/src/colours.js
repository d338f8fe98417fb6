// Colours of pixels: maps of even steps, computed in OKLab, the stretch of values, and the picture of a tile.

/** Lightness, chroma and hue (degrees) of OKLCH, as functions of the position from 0 to 1. */
const PATHS = {
  dusk: (t) => [0.22 + 0.72 * t, 0.13 * Math.sin(Math.PI * (0.15 + 0.75 * t)), 290 + 165 * t],
  sea: (t) => [0.22 + 0.72 * t, 0.12 * Math.sin(Math.PI * (0.15 + 0.75 * t)), 275 - 160 * t],
  balance: (t) => [0.95 - 1.1 * Math.abs(t - 0.5), 0.34 * Math.abs(t - 0.5), t < 0.5 ? 250 : 30],
};

export const COLORMAPS = ['grey', ...Object.keys(PATHS)];

/** Converts OKLab to linear sRGB (Björn Ottosson, 2020). */
function linearOf([lightness, a, b]) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

/** Returns OKLab of a position on a path; chroma is reduced until sRGB has the colour. */
function labOf(path, t) {
  const [lightness, chroma, hue] = path(t);
  const angle = (hue * Math.PI) / 180;
  for (let share = 1; share > 0; share -= 0.02) {
    const lab = [lightness, share * chroma * Math.cos(angle), share * chroma * Math.sin(angle)];
    if (linearOf(lab).every((channel) => channel >= 0 && channel <= 1)) return lab;
  }
  return [lightness, 0, 0];
}

const encode = (linear) => {
  const clipped = Math.min(1, Math.max(0, linear));
  return Math.round(255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055));
};

/** Returns 256 colours of a map, [red, green, blue], at equal distances in OKLab along its path; greys are 0 to 255. */
export function colormap(name) {
  if (name === 'grey') return Array.from({ length: 256 }, (_, step) => [step, step, step]);
  const fine = Array.from({ length: 2048 }, (_, index) => labOf(PATHS[name], index / 2047));
  const lengths = [0];
  for (let index = 1; index < fine.length; index += 1) {
    lengths.push(lengths[index - 1] + Math.hypot(...fine[index].map((value, axis) => value - fine[index - 1][axis])));
  }
  let at = 0;
  return Array.from({ length: 256 }, (_, step) => {
    const wanted = (step / 255) * lengths.at(-1);
    while (at < lengths.length - 1 && lengths[at] < wanted) at += 1;
    return linearOf(fine[at]).map(encode);
  });
}

/** Values of the smallest level that a stretch is computed of, at most. */
const SAMPLE = 2 ** 20;

/** Returns, of each band in the smallest level, its valid values in order. */
export async function sortedValues(raster, bands) {
  const level = raster.levels.at(-1);
  const step = Math.max(1, Math.ceil((level.width * level.height) / SAMPLE));
  const found = bands.map(() => []);
  for await (const tile of raster.smallestLevel(bands)) {
    for (const [position, band] of tile.data.entries()) {
      for (let index = 0; index < band.length; index += step) {
        const value = band[index];
        if (Number.isFinite(value) && !raster.missing(value, tile.mask?.[index] === 0)) found[position].push(value);
      }
    }
  }
  return found.map((values) => Float64Array.from(values).sort());
}

/** Returns [low, high] of sorted values: a stretch is "percentiles", "range" or "stored". */
export function limits(sorted, stretch) {
  if (stretch === 'stored') return [0, 255];
  if (!sorted.length) return [0, 1];
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const [low, high] = stretch === 'percentiles' ? [at(0.02), at(0.98)] : [at(0), at(1)];
  return low < high ? [low, high] : [at(0), at(1)];
}

/**
 * Returns a canvas of a whole tile; what is missing, masked or transparent, and what is beyond the raster, is clear.
 *
 * @param {{bands: number[], alpha: number|null, limits: number[][], colormap: string}} style
 */
export function paint(raster, level, tile, style) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [level.tile_width, level.tile_height];
  const context = canvas.getContext('2d');
  const picture = context.createImageData(tile.width, tile.height);
  const colour = colouring(raster, style);
  const shown = tile.data.slice(0, style.bands.length);
  const alpha = style.alpha === null ? null : tile.data.at(-1);
  for (let index = 0, to = 0; index < tile.width * tile.height; index += 1, to += 4) {
    const isMasked = tile.mask?.[index] === 0;
    if (shown.some((band) => Number.isFinite(band[index]) && !raster.missing(band[index], isMasked))) {
      colour(shown, index, picture.data, to);
      if (alpha !== null) picture.data[to + 3] = alpha instanceof Uint8Array ? alpha[index] : 255 * (alpha[index] !== 0);
    }
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Returns a function that writes the colour of a pixel. */
function colouring(raster, style) {
  if (style.colormap === 'file') {
    const table = new Map(raster.facts.colormap);
    return ([band], index, picture, to) => picture.set(table.get(band[index]) ?? [0, 0, 0, 0], to);
  }
  const share = (position, value) => {
    const [low, high] = style.limits[position];
    const step = low < high ? Math.round((255 * (value - low)) / (high - low)) : 128;
    const level = Math.min(255, Math.max(0, step)) || 0;
    return raster.facts.is_inverted && style.bands[position] === 0 ? 255 - level : level;
  };
  if (style.bands.length === 1) {
    const colours = colormap(style.colormap);
    return ([band], index, picture, to) => {
      picture.set(colours[share(0, band[index])], to);
      picture[to + 3] = 255;
    };
  }
  return (bands, index, picture, to) => {
    for (let position = 0; position < 3; position += 1) picture[to + position] = share(position, bands[position][index]);
    picture[to + 3] = 255;
  };
}
