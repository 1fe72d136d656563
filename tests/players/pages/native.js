// The browser's own HLS: a video element with the address of a playlist, as in Safari.
import { video, watch } from './watch.js';

watch({
  load(url) {
    if (!video.canPlayType('application/vnd.apple.mpegurl')) throw new Error('this browser has no HLS of its own');
    return new Promise((resolve, reject) => {
      video.addEventListener('loadedmetadata', resolve, { once: true });
      video.addEventListener('error', () => reject(new Error(`${video.error.code} ${video.error.message}`)), { once: true });
      video.src = url;
      video.load();
    });
  },
  // It chooses automatically, whatever is selected of its `videoTracks`.
  levels: () => [],
  choose() {},
  sounds: () =>
    [...video.audioTracks].map((track, key) => ({ key, language: track.language, name: track.label, on: track.enabled })),
  hear(key) {
    [...video.audioTracks].forEach((track, place) => {
      track.enabled = place === key;
    });
  },
  texts: () =>
    [...video.textTracks].map((track, key) => ({ key, language: track.language, name: track.label, on: track.mode === 'showing' })),
  read(key) {
    [...video.textTracks].forEach((track, place) => {
      track.mode = place === key ? 'showing' : 'disabled';
    });
  },
});
