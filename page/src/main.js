// The page: a map of COGs, what is under the cursor, and the requests that it takes.

import Feature from 'ol/Feature.js';
import Map from 'ol/Map.js';
import View from 'ol/View.js';
import { defaults as defaultControls } from 'ol/control/defaults.js';
import MultiLineString from 'ol/geom/MultiLineString.js';
import Point from 'ol/geom/Point.js';
import { defaults as defaultInteractions } from 'ol/interaction/defaults.js';
import TileLayer from 'ol/layer/Tile.js';
import VectorLayer from 'ol/layer/Vector.js';
import Projection from 'ol/proj/Projection.js';
import { getRenderPixel } from 'ol/render.js';
import ImageTileSource from 'ol/source/ImageTile.js';
import VectorSource from 'ol/source/Vector.js';
import Circle from 'ol/style/Circle.js';
import Fill from 'ol/style/Fill.js';
import Stroke from 'ol/style/Stroke.js';
import Style from 'ol/style/Style.js';
import TileGrid from 'ol/tilegrid/TileGrid.js';
import './app.css';
import { paint } from './colours.js';
import { RequestLog, element, fillChoice, rowOf, showMessages } from './panel.js';
import { Raster } from './raster.js';
import { coordinates, degreesOf, levelName, pixelAt, textOf } from './readout.js';
import { StylePanel, bandsOf, styleOf } from './styles.js';

const SIDES = ['left', 'right'];

/** How far one can zoom in, in screen pixels a pixel, and out, in times the raster's size. */
const ZOOM_IN = 64;
const ZOOM_OUT = 64;

/** Bands whose values a click reads at most. */
const CLICKED_BANDS = 64;

const shown = { left: null, right: null }; // rasters
const layers = { left: new TileLayer({ zIndex: 1 }), right: new TileLayer({ zIndex: 2 }) };
const land = new VectorLayer({
  source: new VectorSource(),
  style: new Style({ stroke: new Stroke({ color: '#8795a6', width: 1 }) }),
});
const marker = new VectorLayer({
  source: new VectorSource(),
  zIndex: 3,
  style: new Style({
    image: new Circle({ radius: 5, stroke: new Stroke({ color: '#fff', width: 2 }), fill: new Fill({ color: '#d1242f' }) }),
  }),
});
const map = new Map({
  target: 'map',
  layers: [land, layers.left, layers.right, marker],
  controls: defaultControls({ attribution: false, rotate: false }),
  interactions: defaultInteractions({ altShiftDragRotate: false, pinchRotate: false }),
});
let rasters = [];
let frame = null;
let styleCount = 0;

const stylePanel = new StylePanel(
  () => {
    const raster = shown[element('side').value];
    return raster !== null && isShowable(raster) ? raster : null;
  },
  (raster) => {
    styleCount += 1; // tiles of the earlier style stay until those of this one are there
    for (const side of SIDES) if (shown[side] === raster) layers[side].getSource().setKey(`style ${styleCount}`);
  },
);

// What is shown

async function start() {
  const answer = await fetch('files.json', { cache: 'no-store' });
  if (!answer.ok) throw new Error(await answer.text());
  const { files } = await answer.json();
  nameShort(files);
  const log = new RequestLog(files.reduce((sum, facts) => sum + facts.size_bytes, 0));
  rasters = files.map((facts, index) => new Raster(facts, (request) => log.add(index + 1, facts.name, request)));
  fillChoice(element('left'), rasters.map(({ facts }, index) => [index, facts.title]), 0);
  const first = Math.max(0, rasters.findIndex(isShowable));
  element('left').value = first;
  chooseLeft();
  const second = rasters.findIndex((raster, index) => index > first && isShowable(raster) && isBeside(raster));
  if (second > 0) chooseRight(second);
  document.body.classList.toggle('one-file', rasters.length === 1);
  document.title = rasters.map(({ facts }) => facts.title).join(', ');
}

/** Adds the last part of each path as its title, or the whole path where two end in the same. */
function nameShort(files) {
  const last = files.map(({ name }) => name.split(/[\\/]/).at(-1));
  for (const [index, facts] of files.entries()) {
    facts.title = last.filter((name) => name === last[index]).length > 1 ? facts.name : last[index];
  }
}

const isShowable = ({ facts }) => facts.error === null;
const isBeside = ({ facts }) => shown.left !== null && facts.frame === shown.left.facts.frame;

function chooseLeft() {
  const index = Number(element('left').value);
  const raster = rasters[index];
  shown.left = raster;
  if (isShowable(raster) && raster.facts.frame !== frame) showFrame(raster.facts);
  showLayer('left');
  const choices = rasters.map((other, at) => [at, other.facts.title, other === raster || !isShowable(other) || !isBeside(other)]);
  fillChoice(element('right'), [['', 'nothing'], ...choices], '');
  element('right-choice').hidden = rasters.length < 2;
  chooseRight(shown.right && shown.right !== raster && isBeside(shown.right) ? rasters.indexOf(shown.right) : '');
}

function chooseRight(index) {
  element('right').value = index;
  shown.right = index === '' ? null : rasters[Number(index)];
  showLayer('right');
  element('swipe').hidden = shown.right === null;
  element('side').parentElement.hidden = shown.right === null;
  if (shown.right === null) element('side').value = 'left';
  showNotes();
  stylePanel.show();
}

function showFrame(facts) {
  frame = facts.frame;
  const { left, top, pixel_x: pixelX, pixel_y: pixelY } = facts.map;
  const extent = [left, top - facts.height * pixelY, left + facts.width * pixelX, top];
  const [width, height] = map.getSize() ?? [800, 600];
  const whole = Math.max((extent[2] - extent[0]) / width, (extent[3] - extent[1]) / height);
  map.setView(new View({
    projection: new Projection({ code: `frame ${frame}`, units: facts.units, global: false }),
    center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
    resolution: whole * 1.1,
    maxResolution: whole * ZOOM_OUT,
    minResolution: Math.min(whole, pixelX / ZOOM_IN),
    enableRotation: false,
  }));
  land.getSource().clear();
  marker.getSource().clear();
  element('clicked').hidden = true;
  showLand(facts);
}

async function showLand(facts) {
  const answer = await fetch(facts.land_url, { cache: 'no-store' });
  if (!answer.ok || facts.frame !== frame) return;
  land.getSource().clear();
  land.getSource().addFeature(new Feature(new MultiLineString(await answer.json())));
}

function showLayer(side) {
  const raster = shown[side];
  layers[side].setSource(raster === null || !isShowable(raster) ? null : sourceOf(raster));
}

function sourceOf(raster) {
  const { facts, levels } = raster;
  const { left, top, pixel_x: pixelX, pixel_y: pixelY } = facts.map;
  const ordered = levels.toReversed();
  return new ImageTileSource({
    projection: map.getView().getProjection(),
    tileGrid: new TileGrid({
      extent: [left, top - facts.height * pixelY, left + facts.width * pixelX, top],
      origin: [left, top],
      resolutions: ordered.map(({ factorX }) => pixelX * factorX),
      // Rows and columns may differ in size: then tiles are not as high as they are wide.
      tileSizes: ordered.map((level) => [
        level.tile_width, (level.tile_height * level.factorY * pixelY) / (level.factorX * pixelX),
      ]),
    }),
    loader: (z, x, y) => pictureOf(raster, levels.length - 1 - z, x, y),
    interpolate: false,
    transition: 0,
    wrapX: false,
  });
}

async function pictureOf(raster, level, column, row) {
  try {
    const style = await styleOf(raster);
    const tile = await raster.tile(level, column, row, bandsOf(style));
    return paint(raster, raster.levels[level], tile, style);
  } catch (error) {
    fail(raster, error);
    throw error;
  }
}

function fail(raster, error) {
  const message = String(error.message ?? error);
  if (!raster.facts.notes.some(([, text]) => text === message)) raster.facts.notes.push(['error', message]);
  showNotes();
}

/** Shows the notes on all files, with their names where there are several. */
function showNotes() {
  const isApart = (raster) => isShowable(raster) && isShowable(shown.left) && !isBeside(raster);
  const apart = `it is in another CRS than ${shown.left.facts.title}, so that they are not shown side by side`;
  showMessages(rasters.flatMap((raster) => [
    ...(raster.facts.error === null ? [] : [['error', raster.facts.error]]),
    ...raster.facts.notes,
    ...(isApart(raster) ? [['note', apart]] : []),
  ].map(([kind, text]) => [kind, rasters.length > 1 ? `${raster.facts.title}: ${text}` : text])));
}

// What is under the cursor

function sideAt([x]) {
  return shown.right !== null && x > dividerPx() ? 'right' : 'left';
}

/** Returns the level that the map shows. */
function levelOf(side) {
  const source = layers[side].getSource();
  return shown[side].levels.length - 1 - source.getTileGrid().getZForResolution(map.getView().getResolution());
}

async function showCursor({ pixel, coordinate }) {
  const side = sideAt(pixel);
  const raster = shown[side];
  if (raster === null || !isShowable(raster)) return;
  const { column, row, isInside } = pixelAt(raster, coordinate);
  const level = levelOf(side);
  element('level').textContent = levelName(raster, level);
  element('x-name').textContent = raster.facts.crs === null ? 'x, y' : raster.facts.crs;
  element('xy').textContent = coordinates(raster, column, row);
  element('pixel').textContent = isInside ? `row ${Math.floor(row)}, column ${Math.floor(column)}` : 'outside';
  const style = isInside ? await styleOf(raster) : null;
  const kept = style === null ? null : raster.keptValues(level, column, row, bandsOf(style));
  element('value').textContent = kept === null ? '' : kept.values.map((value) => textOf(raster, value, kept.isMasked)).join(', ');
}

async function click({ pixel, coordinate }) {
  const side = sideAt(pixel);
  const raster = shown[side];
  if (raster === null || !isShowable(raster)) return;
  const { column, row, isInside } = pixelAt(raster, coordinate);
  if (!isInside) return;
  const level = levelOf(side);
  const bands = raster.facts.bands.slice(0, CLICKED_BANDS).map((_, band) => band);
  marker.getSource().clear();
  marker.getSource().addFeature(new Feature(new Point(coordinate)));
  try {
    const [full, atLevel, degrees] = await Promise.all([
      raster.values(0, column, row, bands), raster.values(level, column, row, bands), degreesOf(raster, column, row),
    ]);
    showClicked(raster, { column, row, level, full, atLevel, degrees });
  } catch (error) {
    fail(raster, error);
  }
}

function showClicked(raster, { column, row, level, full, atLevel, degrees }) {
  const table = element('clicked');
  table.hidden = false;
  const place = `row ${Math.floor(row)}, column ${Math.floor(column)}; ${coordinates(raster, column, row)}`;
  table.querySelector('caption').textContent = `${raster.facts.title}, ${place}${degrees && `; ${degrees}`}`;
  table.querySelector('.shown').textContent = level === 0 ? '' : `Overview ${level}`;
  table.tBodies[0].replaceChildren(...full.values.map((value, band) => rowOf([
    raster.facts.bands[band], textOf(raster, value, full.isMasked),
    level === 0 ? '' : textOf(raster, atLevel.values[band], atLevel.isMasked),
  ])));
}

// The divider of two files

function dividerPx() {
  return (map.getSize()?.[0] ?? 0) * (Number(element('swipe').value) / 1000);
}

for (const side of SIDES) {
  layers[side].on('prerender', (event) => {
    const { context } = event;
    context.save();
    if (shown.right === null) return;
    const [width, height] = map.getSize();
    const [from, to] = side === 'left' ? [0, dividerPx()] : [dividerPx(), width];
    const corners = [[from, 0], [to, 0], [to, height], [from, height]].map((corner) => getRenderPixel(event, corner));
    context.beginPath();
    corners.forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
    context.closePath();
    context.clip();
  });
  layers[side].on('postrender', ({ context }) => context.restore());
}

element('swipe').addEventListener('input', () => map.render());
element('left').addEventListener('change', chooseLeft);
element('right').addEventListener('change', () => chooseRight(element('right').value));
element('side').addEventListener('change', () => stylePanel.show());
map.on('pointermove', (event) => { if (!event.dragging) showCursor(event); });
map.on('singleclick', click);
map.on('rendercomplete', () => { document.body.dataset.state = 'complete'; });
map.on('movestart', () => { document.body.dataset.state = 'moving'; });

globalThis.georeader = { map, shown }; // for the console

start().catch((error) => showMessages([['error', `The page cannot be shown: ${error.message}`]]));
