// Styles of rasters (bands, stretch and colours), and the part of the panel that changes them.

import { COLORMAPS, colormap, limits, sortedValues } from './colours.js';
import { element, fillChoice } from './panel.js';

const COLOURS = ['red', 'green', 'blue'];

/** Promises of {bands, alpha, stretch, limits, colormap}, by raster. */
const styles = new WeakMap();

/** Returns the style of a raster; the first time, its stretch is computed of the smallest level. */
export function styleOf(raster) {
  if (!styles.has(raster)) {
    const { shown_bands: bands, alpha, are_colours: areColours, colormap: table } = raster.facts;
    const style = {
      bands, alpha, stretch: areColours ? 'stored' : 'percentiles', limits: [], colormap: table ? 'file' : 'grey',
    };
    setStyle(raster, style);
  }
  return styles.get(raster);
}

function setStyle(raster, style) {
  const setting = withLimits(raster, style);
  setting.catch(() => { if (styles.get(raster) === setting) styles.delete(raster); }); // tried again with the next tile
  styles.set(raster, setting);
}

async function withLimits(raster, style) {
  if (style.stretch === 'numbers') return style;
  if (style.stretch === 'stored' || style.colormap === 'file') {
    return { ...style, limits: style.bands.map(() => limits([], 'stored')) };
  }
  const sorted = await sortedValues(raster, bandsOf(style));
  return { ...style, limits: style.bands.map((_, position) => limits(sorted[position], style.stretch)) };
}

/** Returns the bands that are read: those of the colours, and alpha. */
export const bandsOf = (style) => (style.alpha === null ? style.bands : [...style.bands, style.alpha]);

/** The controls of a style. */
export class StylePanel {
  /**
   * @param {() => Raster | null} current Returns the raster whose style is shown.
   * @param {(raster: Raster) => void} changed Called when a raster has another style.
   */
  constructor(current, changed) {
    this.current = current;
    this.changed = changed;
    for (const id of ['bands', ...COLOURS]) element(id).addEventListener('change', () => this.chooseBands());
    element('stretch').addEventListener('change', () => {
      const stretch = element('stretch').value;
      this.change({ stretch, ...(stretch === 'numbers' ? { limits: typedLimits() } : {}) });
    });
    for (const id of ['low', 'high']) {
      element(id).addEventListener('change', () => this.change({ stretch: 'numbers', limits: typedLimits() }));
    }
    element('colormap').addEventListener('change', () => this.change({ colormap: element('colormap').value }));
  }

  async show() {
    const raster = this.current();
    element('style').hidden = raster === null;
    if (raster === null) return;
    const style = await styleOf(raster).catch(() => null); // the tiles fail, too, and say so
    if (style === null || raster !== this.current()) return;
    const [isRgb, isTable] = [style.bands.length > 1, style.colormap === 'file'];
    const names = raster.facts.bands.map((name, band) => [band, name]);
    const three = names.length > 2 ? [['rgb', 'three, as red, green, blue']] : [];
    fillChoice(element('bands'), [...names, ...three], isRgb ? 'rgb' : style.bands[0]);
    for (const [position, id] of COLOURS.entries()) fillChoice(element(id), names, style.bands[position]);
    const maps = [...(raster.facts.colormap ? [['file', "the file's own"]] : []), ...COLORMAPS.map((name) => [name, name])];
    fillChoice(element('colormap'), maps, style.colormap);
    element('stretch').value = style.stretch;
    [element('low').value, element('high').value] = style.limits[0];
    element('rgb').hidden = !isRgb;
    element('stretch').parentElement.hidden = isTable;
    element('numbers').hidden = isTable;
    element('colormap').parentElement.hidden = isRgb;
    element('legend').hidden = isRgb || isTable;
    if (!element('legend').hidden) drawLegend(style);
  }

  async change(change) {
    const raster = this.current();
    const style = { ...await styleOf(raster), ...change };
    if (style.bands.length > 1) style.colormap = 'grey';
    setStyle(raster, style);
    this.changed(raster);
    await this.show();
  }

  async chooseBands() {
    const style = await styleOf(this.current());
    const chosen = element('bands').value;
    const typed = style.bands.length > 1 ? COLOURS.map((id) => Number(element(id).value)) : [0, 1, 2];
    const bands = chosen === 'rgb' ? typed : [Number(chosen)];
    const isKept = style.stretch === 'range' || (bands.length > 1 && style.stretch === 'stored');
    return this.change({ bands, stretch: isKept ? style.stretch : 'percentiles' });
  }
}

/** Returns the same limits for all three colours. */
function typedLimits() {
  const typed = [Number(element('low').value), Number(element('high').value)];
  return [typed, typed, typed];
}

function drawLegend(style) {
  const context = element('legend').getContext('2d');
  for (const [step, colour] of colormap(style.colormap).entries()) {
    context.fillStyle = `rgb(${colour})`;
    context.fillRect(step, 0, 1, 10);
  }
}
