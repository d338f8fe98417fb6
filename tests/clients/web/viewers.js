// Shows COGs as web maps do, and samples what is drawn.
//
// A file is {"url", "range": [black, white], "bands", "isPicture": whether values are colours already, "hasPalette",
// "hasAlpha", "convertToRGB", "nodata", "center": [x, y] in the file's CRS, "pixel": size of a pixel, "epsg", "points":
// [[column, row], ...] of the map; "middle": [latitude, longitude], "zoom", "places": [[latitude, longitude], ...] of the
// points}.
// Each function returns the RGBA of the points as drawn, 0 0 0 0 where nothing is.

const WIDTH = 600;
const HEIGHT = 420;

function addMap() {
  const element = document.createElement('div');
  element.className = 'map';
  document.body.append(element);
  return element;
}

/** Sample the canvases of an element, drawn upon each other where they lie. */
function sample(element, points) {
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const corner = element.getBoundingClientRect();
  for (const layer of element.querySelectorAll('canvas')) {
    const place = layer.getBoundingClientRect();
    if (layer.width > 0 && layer.height > 0) {
      context.drawImage(layer, place.x - corner.x, place.y - corner.y, place.width, place.height);
    }
  }
  const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
  return points.map(([column, row]) => [...data.subarray(4 * (row * WIDTH + column), 4 * (row * WIDTH + column) + 4)]);
}

function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} does not finish`)), 30000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function showInOpenLayers({ url, range, bands, isPicture, convertToRGB, nodata, center, pixel, epsg, points }) {
  const element = addMap();
  const settings = { ...(bands && { bands }), ...(nodata !== undefined && { nodata }) };
  const source = new ol.source.GeoTIFF({
    sources: [{ url, ...(isPicture ? {} : { min: range[0], max: range[1] }), ...settings }],
    convertToRGB,
    interpolate: false,
    transition: 0,
    wrapX: false,
  });
  let map;
  try {
    // A map that is there before its source is ready may be complete without a tile.
    await inTime(new Promise((resolve, reject) => {
      const look = () => {
        if (source.getState() === 'ready') resolve();
        if (source.getState() === 'error') reject(source.getError() ?? new Error('no message'));
      };
      source.on('change', look);
      look();
    }), 'ol/source/GeoTIFF');
    map = new ol.Map({
      controls: [],
      interactions: [],
      layers: [new ol.layer.WebGLTile({ source })],
      view: new ol.View({ center, resolution: pixel, projection: `EPSG:${epsg}`, constrainResolution: false }),
    });
    await inTime(new Promise((resolve, reject) => {
      source.on('tileloaderror', ({ tile }) => reject(tile.error_ ?? new Error('a tile cannot be read')));
      map.on('rendercomplete', resolve);
      map.setTarget(element);
    }), 'OpenLayers');
    return sample(element, points);
  } finally {
    map?.setTarget(null);
    map?.getAllLayers().forEach((layer) => layer.dispose());
    map?.dispose();
    element.remove();
  }
}

let leafletMap;

async function showInLeaflet({ url, range, hasAlpha, hasPalette, middle, zoom, places }) {
  const { L, parseGeoraster, GeoRasterLayer } = leaflet;
  const options = { zoomControl: false, attributionControl: false, fadeAnimation: false, zoomAnimation: false };
  leafletMap ??= L.map(addMap(), options);
  leafletMap.setView(middle, zoom, { animate: false });
  const georaster = await inTime(parseGeoraster(url), 'parseGeoraster');
  const scale = (value) => Math.round((value - range[0]) / (range[1] - range[0]) * 255);
  const toColour = (values) => {
    const [red, green, blue] = (values.length < 3 ? [values[0], values[0], values[0]] : values).map(scale);
    return `rgba(${red}, ${green}, ${blue}, ${hasAlpha ? values.at(-1) / 255 : 1})`;
  };
  // Its cache of tiles is one for all layers.
  const colours = hasPalette ? {} : { pixelValuesToColorFn: toColour };
  const layer = new GeoRasterLayer({ georaster, caching: false, ...colours });
  try {
    const loaded = new Promise((resolve, reject) => {
      layer.on('load', resolve);
      layer.on('tileerror', ({ error }) => reject(error));
    });
    layer.addTo(leafletMap);
    await inTime(loaded, 'GeoRasterLayer');
    const onScreen = places.map((place) => leafletMap.latLngToContainerPoint(place));
    const points = onScreen.map(({ x, y }) => [Math.floor(x), Math.floor(y)]);
    return sample(leafletMap.getContainer(), points);
  } finally {
    layer.remove();
  }
}

/** Show a file; return {"colours"} or {"error"}. */
async function tryToShow(show, file) {
  try {
    return { colours: await show(file) };
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}
