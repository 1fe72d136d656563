// Shared by every page: it watches the video element and keeps what a test needs. A page calls
// `watch(adapter)`; `adapter` has
//   load(url)    starts to play; answers when the first frame can come
//   levels()     the video qualities, lowest first: [{ key, height }]
//   choose(key)  plays that quality from now on, dropping what is buffered of another
//   sounds()     what can be heard, in the player's order: [{ key, language, name, on }]
//   hear(key)    plays that sound from now on
//   texts()      what can be read: the same
//   read(key)    shows that text from now on
// and reports trouble with `trouble(fatal, text)`, and an end that the element does not report with `ended()`.

const video = document.querySelector('video');
const report = {
  startedAt: null,
  firstPictureMs: null,
  ended: false,
  position: 0,
  duration: null,
  played: 0,
  heights: [],
  jumps: [],
  stalls: [],
  errors: [],
  warnings: [],
};

export function trouble(fatal, text) {
  const list = fatal ? report.errors : report.warnings;
  if (list.length < 50) list.push(text);
}

function playedSeconds() {
  let sum = 0;
  for (let i = 0; i < video.played.length; i++) sum += video.played.end(i) - video.played.start(i);
  return sum;
}

function sawHeight() {
  if (video.videoHeight > 0 && report.heights.at(-1) !== video.videoHeight) report.heights.push(video.videoHeight);
}

let last = null;
let begun = 0;
function sample() {
  const now = performance.now();
  const position = video.currentTime;
  // Time without progress, in milliseconds, and where.
  if (report.startedAt !== null && !report.ended && last !== null && position === last.position) {
    const stall = report.stalls.at(-1);
    if (stall && stall.at === position) stall.ms += Math.round(now - last.now);
    else report.stalls.push({ at: position, ms: Math.round(now - last.now) });
  }
  if (last !== null && report.startedAt !== null) {
    const expected = last.position + ((now - last.now) / 1000) * video.playbackRate;
    if (position < last.position - 0.5 || position > expected + 1.5) {
      report.jumps.push([Number(last.position.toFixed(3)), Number(position.toFixed(3))]);
    }
  }
  last = { now, position };
  // An element that is paused at its end may return to the position of its sound.
  if (!report.ended) report.position = position;
  report.played = playedSeconds();
  report.duration = video.duration;
  sawHeight();
}

video.addEventListener('playing', () => {
  if (report.startedAt !== null) return;
  report.startedAt = video.currentTime;
  report.firstPictureMs = Math.round(performance.now() - begun);
});
video.addEventListener('resize', sawHeight);
export function ended() {
  sample();
  report.ended = true;
}
video.addEventListener('ended', ended);
video.addEventListener('error', () => {
  trouble(true, `video element: ${video.error.code} ${video.error.message}`);
});
window.addEventListener('error', (event) => trouble(true, `page: ${event.message}`));
window.addEventListener('unhandledrejection', (event) => trouble(true, `page: ${event.reason}`));

// The strongest frequency of the sound now, in hertz; 0 in silence.
let analyser = null;
function tone() {
  if (!analyser) {
    video.muted = false;
    const context = new AudioContext();
    analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
    const silence = new GainNode(context, { gain: 0 });
    context.createMediaElementSource(video).connect(analyser).connect(silence).connect(context.destination);
    void context.resume();
  }
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  const loudest = bins.reduce((best, value, place) => (value > bins[best] ? place : best), 0);
  if (!(bins[loudest] > -70)) return 0;
  return Math.round((loudest * analyser.context.sampleRate) / analyser.fftSize);
}

// The text over the picture now.
function shown() {
  const on = [...video.textTracks].filter((track) => track.mode === 'showing');
  return on.flatMap((track) => [...(track.activeCues ?? [])]).map((cue) => cue.text);
}

export function watch(adapter) {
  setInterval(sample, 200);
  window.start = async (url, rate) => {
    begun = performance.now();
    try {
      await adapter.load(url);
      video.playbackRate = rate;
      await video.play();
    } catch (error) {
      trouble(true, `load: ${error && error.message ? error.message : JSON.stringify(error)}`);
    }
  };
  window.levels = () => adapter.levels();
  window.choose = (key) => adapter.choose(key);
  window.sounds = () => adapter.sounds();
  window.hear = (key) => adapter.hear(key);
  window.texts = () => adapter.texts();
  window.read = (key) => adapter.read(key);
  window.tone = tone;
  window.shown = shown;
  window.report = () => {
    sample();
    return {
      ...report,
      stalls: report.stalls.filter((stall) => stall.ms > 250),
      duration: Number.isFinite(report.duration) ? report.duration : null,
      audioBytes: video.webkitAudioDecodedByteCount ?? null,
      videoBytes: video.webkitVideoDecodedByteCount ?? null,
      droppedFrames: video.getVideoPlaybackQuality().droppedVideoFrames,
    };
  };
}

export { video };
