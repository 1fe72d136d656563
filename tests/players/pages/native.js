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
  // It chooses by itself and does not tell.
  levels: () => [],
  choose() {},
});
