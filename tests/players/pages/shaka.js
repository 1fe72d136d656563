// shaka-player
import { trouble, video, watch } from './watch.js';

const { shaka } = window;
shaka.polyfill.installAll();
const player = new shaka.Player();
player.addEventListener('error', ({ detail }) => {
  const critical = detail.severity === shaka.util.Error.Severity.CRITICAL;
  trouble(critical, `${detail.code} ${JSON.stringify(detail.data ?? [])}`);
});

// Of variants that differ in sound only, the one with the most of it stands for the picture.
function pictures() {
  const best = new Map();
  for (const track of player.getVariantTracks()) {
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
});
