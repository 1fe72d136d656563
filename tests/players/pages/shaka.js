// shaka-player
import { trouble, video, watch } from './watch.js';

const { shaka } = window;
shaka.polyfill.installAll();
const player = new shaka.Player();
player.addEventListener('error', ({ detail }) => {
  const critical = detail.severity === shaka.util.Error.Severity.CRITICAL;
  trouble(critical, `${detail.code} ${JSON.stringify(detail.data ?? [])}`);
});

// Of variants that differ in sound only, the one with most of the sound stands for the video.
function pictures() {
  const best = new Map();
  const tracks = player.getVariantTracks();
  const now = tracks.find((track) => track.active);
  for (const track of tracks.filter((one) => one.language === now?.language && one.label === now?.label)) {
    const other = best.get(track.height);
    if (!other || other.bandwidth < track.bandwidth) best.set(track.height, track);
  }
  return [...best.values()].sort((a, b) => a.bandwidth - b.bandwidth);
}

watch({
  async load(url) {
    await player.attach(video);
    try {
      await player.load(url);
    } catch (error) {
      throw new Error(`${error.code} ${JSON.stringify(error.data ?? [])}`);
    }
  },
  levels() {
    return pictures().map((track) => ({ key: track.id, height: track.height ?? 0, bitrate: track.bandwidth }));
  },
  choose(key) {
    player.configure({ abr: { enabled: false } });
    const track = player.getVariantTracks().find((one) => one.id === key);
    if (track) player.selectVariantTrack(track, true);
  },
  sounds: () =>
    player.getAudioTracks().map((track, key) => ({ key, language: track.language, name: track.label ?? '', on: track.active })),
  hear(key) {
    player.selectAudioTrack(player.getAudioTracks()[key]);
  },
  texts: () =>
    player.getTextTracks().map((track) => ({ key: track.id, language: track.language, name: track.label ?? '', on: track.active })),
  read(key) {
    player.selectTextTrack(player.getTextTracks().find((track) => track.id === key));
  },
});
