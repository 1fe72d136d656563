// Puts .br and .gz beside every text file of the build, then makes the build current in one rename, so
// that it is never embedded half-finished.
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync, constants as zlib } from "node:zlib";

const next = new URL("../dist.next/", import.meta.url).pathname;
const dist = new URL("../dist/", import.meta.url).pathname;

for (const entry of readdirSync(next, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.(html|js|css|svg|json|webmanifest|txt)$/.test(entry.name)) continue;
  const file = join(entry.parentPath, entry.name);
  const plain = readFileSync(file);
  const variants = {
    br: brotliCompressSync(plain, { params: { [zlib.BROTLI_PARAM_QUALITY]: 11 } }),
    gz: gzipSync(plain, { level: 9 }),
  };
  for (const [suffix, bytes] of Object.entries(variants)) {
    if (bytes.length < plain.length * 0.9) writeFileSync(`${file}.${suffix}`, bytes);
  }
}

rmSync(dist, { recursive: true, force: true });
renameSync(next, dist);
