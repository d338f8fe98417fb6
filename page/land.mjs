// Coastlines: Natural Earth's 1:110m land (public domain) as lines of steps of 0.05 degrees.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { feature } from 'topojson-client';

const STEP_DEGREES = 0.05;

/** Returns {source, step_degrees, lines}: of each line longitude and latitude of the first point, then differences. */
export function landLines() {
  const file = createRequire(import.meta.url).resolve('world-atlas/land-110m.json');
  const topology = JSON.parse(readFileSync(file, 'utf8'));
  const { features } = feature(topology, topology.objects.land);
  const rings = features.flatMap(({ geometry }) => geometry.coordinates.flat());
  const lines = rings.flatMap(cutAtEdges).map(encode).filter((line) => line.length > 2);
  return { source: 'Natural Earth, 1:110m land, public domain', step_degrees: STEP_DEGREES, lines };
}

/** Returns the parts of a ring that are coastlines, not the edges of the map at 180 degrees and at the pole. */
function cutAtEdges(ring) {
  const parts = [[]];
  for (const [longitude, latitude] of ring) {
    if (Math.abs(longitude) > 179.95 || latitude < -89.95) parts.push([]);
    else parts.at(-1).push([longitude, latitude]);
  }
  return parts.filter((part) => part.length > 1);
}

function encode(points) {
  const line = [];
  let [x, y] = [0, 0];
  for (const point of points) {
    const [nextX, nextY] = point.map((degrees) => Math.round(degrees / STEP_DEGREES));
    if (line.length === 0 || nextX !== x || nextY !== y) line.push(nextX - x, nextY - y);
    [x, y] = [nextX, nextY];
  }
  return line;
}
