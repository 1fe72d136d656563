// Uploads a file with tus-js-client: node upload.mjs ADDRESS FILE STORE CHUNK. TOKEN signs it in.
//
// Prints `offset N` for every acknowledged offset, the first of them where it starts or resumes, and
// `done URL` at the end. The store is what a second run resumes from.
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { FileUrlStorage, Upload } from "tus-js-client";

const [address, path, store, chunk] = process.argv.slice(2);

const upload = new Upload(createReadStream(path), {
  endpoint: address,
  headers: process.env.TOKEN ? { Authorization: `Bearer ${process.env.TOKEN}` } : {},
  chunkSize: Number(chunk),
  uploadSize: statSync(path).size,
  retryDelays: null,
  metadata: { filename: basename(path), filetype: "video/mp4" },
  urlStorage: new FileUrlStorage(store),
  fingerprint: () => Promise.resolve(`file-${path}`),
  storeFingerprintForResuming: true,
  onChunkComplete: (_size, accepted) => console.log("offset", accepted),
  onSuccess: () => console.log("done", upload.url),
  onError: (error) => {
    console.error(String(error));
    process.exitCode = 1;
  },
});

const [earlier] = await upload.findPreviousUploads();
if (earlier) {
  upload.resumeFromPreviousUpload(earlier);
}
upload.start();
