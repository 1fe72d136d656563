// dash.js
import { ended, trouble, video, watch } from './watch.js';

const { MediaPlayer } = window.dashjs;
const player = MediaPlayer().create();
// The server may be unavailable for a while: then requests are retried, as a page that embeds dash.js
// does.
const patient = location.search === '?patient';
let again = null;
player.on(MediaPlayer.events.ERROR, (event) => {
  if (patient) {
    trouble(false, `again after ${event.error.code} ${event.error.message}`);
    again ??= setTimeout(() => {
      again = null;
      player.attachSource(player.getSource(), video.currentTime);
    }, 2_000);
    return;
  }
  trouble(true, `${event.error.code} ${event.error.message}`);
});
// It checks five times a second whether less than 5 µs are left, takes that for the end, and pauses the
// element, which then never reports that it ended: at four times the speed Chromium stops there while the
// last sound plays. This listener comes before its own, which pauses.
player.on(MediaPlayer.events.PLAYBACK_ENDED, ({ isLast }) => isLast && ended(), null, { priority: 5000 });

const called = (track) => track.labels[0]?.text ?? '';

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
  sounds() {
    const now = player.getCurrentTrackFor('audio');
    return player
      .getTracksFor('audio')
      .map((track, key) => ({ key, language: track.lang, name: called(track), on: track.id === now?.id }));
  },
  hear(key) {
    player.setCurrentTrack(player.getTracksFor('audio')[key]);
  },
  texts: () =>
    player
      .getTracksFor('text')
      .map((track, key) => ({ key, language: track.lang, name: called(track), on: key === player.getCurrentTextTrackIndex() })),
  read(key) {
    player.enableText(true);
    player.setTextTrack(key);
  },
});
