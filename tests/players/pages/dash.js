// dash.js
import { trouble, video, watch } from './watch.js';

const { MediaPlayer } = window.dashjs;
const player = MediaPlayer().create();
player.on(MediaPlayer.events.ERROR, (event) => {
  trouble(true, `${event.error.code} ${event.error.message}`);
});

watch({
  load(url) {
    return new Promise((resolve) => {
      player.on(MediaPlayer.events.STREAM_INITIALIZED, resolve);
      player.on(MediaPlayer.events.ERROR, resolve);
      player.initialize(video, url, true);
    });
  },
  levels() {
    return player
      .getRepresentationsByType('video')
      .map((representation) => ({ key: representation.id, height: representation.height, bitrate: representation.bandwidth }))
      .sort((a, b) => a.bitrate - b.bitrate);
  },
  choose(key) {
    player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } });
    player.setRepresentationForTypeById('video', key, true);
  },
});
