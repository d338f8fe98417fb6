// Builds the page of georeader.view: app.js, app.css, index.html, land.json and LICENSES.txt, for the wheel.
//
// node build.mjs [folder]: into ../src/georeader/view/static by default. The same versions write the same bytes.

import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { landLines } from './land.mjs';

const here = import.meta.dirname;
const target = path.resolve(process.argv[2] ?? path.join(here, '..', 'src', 'georeader', 'view', 'static'));
mkdirSync(target, { recursive: true });

/** One zstd for both decoders that have it: the one that needs no size in the frame. */
const oneZstd = {
  name: 'one zstd',
  setup: ({ onResolve, resolve }) => onResolve({ filter: /^zstddec$/ }, ({ path: _, ...options }) => resolve('zstddec/stream', options)),
};

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.js' },
  outdir: target,
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  platform: 'browser',
  legalComments: 'none',
  metafile: true,
  plugins: [oneZstd],
  logLevel: 'warning',
});
copyFileSync(path.join(here, 'src', 'index.html'), path.join(target, 'index.html'));
writeFileSync(path.join(target, 'land.json'), `${JSON.stringify(landLines())}\n`);

// Of each package with a file in the bundle: name, version, and the text of its licence.
const packages = new Set(
  Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs))
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([name]) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(name)?.[1])
    .filter(Boolean),
);
const texts = [...packages].sort().map((folder) => {
  const about = JSON.parse(readFileSync(path.join(here, folder, 'package.json'), 'utf8'));
  const file = readdirSync(path.join(here, folder)).find((name) => /^(licen[cs]e|copying)/i.test(name));
  // lerc's package has no text of its licence.
  const text = readFileSync(file ? path.join(here, folder, file) : path.join(here, 'licenses', `${about.license}.txt`), 'utf8').trim();
  return `${about.name} ${about.version}, ${about.license}\n\n${text}`;
});
const land = 'land.json: Natural Earth, 1:110m land, from the package world-atlas, at 0.05 degrees. Public domain.';
const intro = 'The page of georeader.view contains these packages, and the coastlines of Natural Earth.';
writeFileSync(path.join(target, 'LICENSES.txt'), `${[intro, land, ...texts].join(`\n\n${'-'.repeat(79)}\n\n`)}\n`);

if (!existsSync(path.join(target, 'app.css'))) throw new Error('src/main.js imports no style');
