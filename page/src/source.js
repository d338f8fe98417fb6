// Byte ranges of a file on the server: what geotiff.js reads from.

/** Header and directories are read in blocks of so many bytes; tiles by their own ranges. */
const BLOCK_BYTES = 256 * 1024;

/** Tiles, as they are in the file, are kept up to so many bytes: other bands of them take no request. */
const KEPT_BYTES = 64 * 2 ** 20;

/** geotiff.js reads directories by so many bytes, which may reach beyond the last one. */
const DIRECTORY_READ_BYTES = 4096;

/** A file read by ranges. Each request is reported, with what the server says that it is a part of. */
export class RangeSource {
  /**
   * @param {{url: string, etag: string, size_bytes: number, header_bytes: number}} file
   * @param {(request: {offset: number, length: number, part: string}) => void} report
   */
  constructor(file, report) {
    this.file = file;
    this.report = report;
    this.headerBytes = Math.min(file.size_bytes, file.header_bytes + DIRECTORY_READ_BYTES);
    this.blocks = new Map();
    this.tiles = new Map(); // in order of their last use
    this.keptBytes = 0;
  }

  /** Returns the bytes of each slice, as ArrayBuffers. */
  async fetch(slices) {
    return Promise.all(slices.map(({ offset, length }) => this.slice(offset, offset + length)));
  }

  async slice(start, end) {
    const stop = Math.min(end, this.file.size_bytes);
    if (stop > this.headerBytes) return this.tile(start, stop);
    const first = Math.floor(start / BLOCK_BYTES);
    const last = Math.floor(Math.max(start, stop - 1) / BLOCK_BYTES);
    const parts = await Promise.all(Array.from({ length: last - first + 1 }, (_, index) => this.block(first + index)));
    if (parts.length === 1) return parts[0].slice(start - first * BLOCK_BYTES, stop - first * BLOCK_BYTES);
    const whole = await new Blob(parts).arrayBuffer();
    return whole.slice(start - first * BLOCK_BYTES, stop - first * BLOCK_BYTES);
  }

  block(number) {
    if (!this.blocks.has(number)) {
      const start = number * BLOCK_BYTES;
      const reading = this.request(start, Math.min(start + BLOCK_BYTES, this.headerBytes));
      reading.catch(() => this.blocks.delete(number));
      this.blocks.set(number, reading);
    }
    return this.blocks.get(number);
  }

  async tile(start, stop) {
    const key = `${start}-${stop}`;
    const reading = this.tiles.get(key) ?? this.request(start, stop);
    this.keptBytes += this.tiles.delete(key) ? 0 : stop - start;
    this.tiles.set(key, reading);
    for (const oldest of this.tiles.keys()) {
      if (this.keptBytes <= KEPT_BYTES || oldest === key) break;
      this.forget(oldest);
    }
    reading.catch(() => this.forget(key));
    return (await reading).slice(); // decoders may change it
  }

  forget(key) {
    const [start, stop] = key.split('-').map(Number);
    if (this.tiles.delete(key)) this.keptBytes -= stop - start;
  }

  async request(start, stop) {
    const headers = { Range: `bytes=${start}-${stop - 1}`, 'If-Match': this.file.etag };
    const answer = await fetch(this.file.url, { headers, cache: 'no-store' });
    if (answer.status !== 206) throw new Error((await answer.text()).trim() || `HTTP ${answer.status}`);
    const bytes = await answer.arrayBuffer();
    if (bytes.byteLength !== stop - start) {
      throw new Error(`${bytes.byteLength} bytes came of ${stop - start} from byte ${start}`);
    }
    const part = answer.headers.get('Georeader-Part') ?? '';
    this.report({ offset: start, length: stop - start, part });
    return bytes;
  }
}
