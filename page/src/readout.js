// Places and values as text.

/** Returns the place at a coordinate of the map, in pixels of the full resolution, and whether the raster has it. */
export function pixelAt({ facts }, [x, y]) {
  const column = (x - facts.map.left) / facts.map.pixel_x;
  const row = (facts.map.top - y) / facts.map.pixel_y;
  const isInside = column >= 0 && row >= 0 && column < facts.width && row < facts.height;
  return { column, row, isInside };
}

export const levelName = (raster, level) => {
  const { width, height } = raster.levels[level];
  return `${level === 0 ? 'full resolution' : `overview ${level}`}, ${width} x ${height}`;
};

/** Returns the coordinates of a place in the CRS. */
export function coordinates({ facts }, column, row) {
  const [a, b, c, d, e, f] = facts.transform;
  const digits = facts.units === 'degrees' ? 6 : 2;
  return [a * column + b * row + c, d * column + e * row + f].map((value) => value.toFixed(digits)).join(', ');
}

/** Returns a value with the reason if it is missing. */
export function textOf(raster, value, isMasked) {
  const missing = raster.missing(value, isMasked);
  const isFloat = raster.facts.dtype === 'float32';
  const number = isFloat && Number.isFinite(value) ? shortest(value) : String(value);
  return missing && missing !== 'NaN' ? `${number} (${missing})` : number;
}

/** Returns the shortest text of a 32-bit number that is read as the same one. */
function shortest(value) {
  for (let digits = 6; digits < 10; digits += 1) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return String(text);
  }
  return String(value);
}

/** Returns longitude and latitude as text; "" where there are none. */
export async function degreesOf({ facts }, column, row) {
  const answer = await fetch(`${facts.degrees_url}?column=${column}&row=${row}`, { cache: 'no-store' });
  if (!answer.ok) return '';
  const [longitude, latitude] = await answer.json();
  const text = (value, [positive, negative]) => `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;
  return `${text(latitude, 'NS')}, ${text(longitude, 'EW')}`;
}
