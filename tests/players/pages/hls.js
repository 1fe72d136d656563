// hls.js
import { trouble, video, watch } from './watch.js';

const { Hls } = window;
const hls = new Hls();
// The server may be unavailable for a while: then requests are retried, as a page that embeds hls.js
// does.
const patient = location.search === '?patient';
hls.on(Hls.Events.ERROR, (_, data) => {
  if (patient && data.fatal && data.type === Hls.ErrorTypes.NETWORK_ERROR) {
    trouble(false, `again after ${data.details}`);
    setTimeout(() => hls.startLoad(), 1_000);
    return;
  }
  trouble(data.fatal, `${data.type} ${data.details}${data.response ? ` ${data.response.code}` : ''} ${data.reason ?? ''}`);
});

watch({
  load(url) {
    return new Promise((resolve) => {
      hls.once(Hls.Events.MANIFEST_PARSED, resolve);
      hls.once(Hls.Events.ERROR, (_, data) => data.fatal && resolve());
      hls.loadSource(url);
      hls.attachMedia(video);
    });
  },
  levels() {
    return hls.levels
      .map((level, key) => ({ key, height: level.height ?? 0, bitrate: level.bitrate }))
      .sort((a, b) => a.bitrate - b.bitrate);
  },
  choose(key) {
    hls.currentLevel = key;
  },
  sounds: () =>
    hls.audioTracks.map((track, key) => ({ key, language: track.lang, name: track.name, on: key === hls.audioTrack })),
  hear(key) {
    hls.audioTrack = key;
  },
  texts: () =>
    hls.subtitleTracks.map((track, key) => ({ key, language: track.lang, name: track.name, on: key === hls.subtitleTrack })),
  read(key) {
    hls.subtitleDisplay = true;
    hls.subtitleTrack = key;
  },
});
