// The player: a video with its own controls, keys and messages. It plays contents that are still being
// encoded, says so, and switches to better renditions as they are finished.

import { type PointerEvent, useCallback, useEffect, useRef, useState } from "react";
import type { Caption, Content } from "../api/types";
import { percent } from "../lib/format";
import { isAudioOnly, titleOf } from "../lib/states";
import { session } from "../session/session";
import { useSession } from "../session/use-session";
import { Icon } from "../ui/icons";
import { CaptionTrack } from "./caption-track";
import { CaptionLayer } from "./captions";
import { Controls } from "./controls";
import { Engine, INITIAL } from "./engine";
import { Help } from "./help";
import { Refused } from "./refused";
import { type Command, commandOf, keepsKey, nextSpeed } from "./shortcuts";
import { languageHeard } from "./sounds";
import { holdPicture, toggleFullscreen, useFullscreen } from "./stage";
import { useThumbnails } from "./thumbnails";
import { nameOf, useCaptions } from "./use-captions";
import { useVideo } from "./use-video";
import { useWatch } from "./use-watch";
import { rememberedVolume, rememberVolume } from "./volume";
import "./player.css";

const IDLE_MS = 2_600;
const FLASH_MS = 800;
/** Stay this far from the end of the encoded part, so that a seek finds something to play. */
const EDGE_MARGIN_S = 1;
const FALLBACK_FPS = 25;
const NO_CAPTIONS: Caption[] = [];

export default function Player({ content }: { content: Content }) {
  const stage = useRef<HTMLElement>(null);
  const element = useRef<HTMLVideoElement>(null);
  const still = useRef<HTMLCanvasElement>(null);
  const engine = useRef<Engine | null>(null);
  const video = useVideo(element);
  const [engineState, setEngineState] = useState(INITIAL);
  const [held, setHeld] = useState(false);
  const [awake, setAwake] = useState(true);
  const [flash, setFlash] = useState<{ text: string; id: number } | null>(null);
  const [help, setHelp] = useState(false);
  const fullscreen = useFullscreen(stage);
  const thumbnails = useThumbnails(content.thumbnails);
  const { renditions } = content;
  const captions = useCaptions(
    content.captions ?? NO_CAPTIONS,
    languageHeard(engineState.sounds[engineState.heard], renditions),
  );
  const toggleCaptions = useRef(captions.toggle);
  toggleCaptions.current = captions.toggle;
  const [cues, setCues] = useState<VTTCue[]>([]);
  const [tries, setTries] = useState(0);
  /** Why these captions failed to load. */
  const [trouble, setTrouble] = useState<{ url: string; text: string } | null>(null);
  const { drawn } = captions;
  const idleTimer = useRef<ReturnType<typeof setTimeout>>(undefined);

  const ready = useRef(false);
  ready.current = content.state === "ready";
  const src = content.hls ?? "";
  useEffect(() => {
    const media = element.current;
    if (!media || !src) return;
    const { volume, muted } = rememberedVolume();
    media.volume = volume;
    media.muted = muted;
    const made = new Engine(media, src, setEngineState, ready.current);
    engine.current = made;
    return () => {
      engine.current = null;
      made.destroy();
    };
  }, [src]);

  // Renditions that are finished later are added without interrupting the video.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the levels say when the playlist is known.
  useEffect(() => {
    const current = engine.current;
    if (!current) return;
    current.know(renditions, content.state === "ready");
    if (!current.outdated) return;
    holdPicture(element.current, still.current);
    current.reload();
  }, [renditions, content.state, engineState.levels.length > 0]);

  const { refusal } = engineState;
  // Expired tokens are renewed without notice.
  useEffect(() => {
    if (refusal?.kind !== "token-expired") return;
    void session.renew().then((renewed) => {
      if (renewed) engine.current?.reload();
    });
  }, [refusal]);
  useWatch(content.id, !video.paused && refusal === null, (denied) => engine.current?.refuse(denied));
  const signedIn = useSession().state === "in";

  const growing = engineState.growing && content.state !== "ready";
  const available = Math.min(video.duration, growing ? (engineState.edge ?? video.duration) : video.duration);
  // The length may be known only at the end.
  const openEnded = growing && content.duration === null;
  const total = openEnded ? available : Math.max(video.duration, content.duration ?? 0);
  const atEdge = growing && available - video.time < 2;

  const wake = useCallback(() => {
    setAwake(true);
    clearTimeout(idleTimer.current);
    idleTimer.current = setTimeout(() => setAwake(false), IDLE_MS);
  }, []);
  useEffect(() => () => clearTimeout(idleTimer.current), []);

  useEffect(() => {
    if (!flash) return;
    const timer = setTimeout(() => setFlash(null), FLASH_MS);
    return () => clearTimeout(timer);
  }, [flash]);

  const seek = useCallback((time: number) => {
    const media = element.current;
    if (!media || !Number.isFinite(time)) return;
    const end = Number.isFinite(media.duration) ? media.duration : time;
    media.currentTime = Math.max(0, Math.min(time, end));
  }, []);

  const run = useCallback(
    (command: Command) => {
      const media = element.current;
      if (!media) return;
      const say = (text: string) => setFlash((old) => ({ text, id: (old?.id ?? 0) + 1 }));
      const limit = growing ? available - EDGE_MARGIN_S : media.duration;
      wake();
      switch (command.do) {
        case "toggle":
          if (media.paused || media.ended) void media.play().catch(() => {});
          else media.pause();
          break;
        case "skip":
          seek(Math.min(media.currentTime + command.seconds, limit));
          say(`${command.seconds > 0 ? "+" : "−"}${Math.abs(command.seconds)} s`);
          break;
        case "jump":
          seek(Math.min(command.fraction * total, limit));
          break;
        case "volume": {
          media.muted = false;
          media.volume = Math.min(1, Math.max(0, media.volume + command.step));
          rememberVolume(media);
          say(`Volume ${Math.round(media.volume * 100)}%`);
          break;
        }
        case "mute":
          media.muted = !media.muted;
          rememberVolume(media);
          say(media.muted ? "Muted" : "Unmuted");
          break;
        case "captions":
          say(toggleCaptions.current());
          break;
        case "speed":
          media.playbackRate = nextSpeed(media.playbackRate, command.step);
          say(`${media.playbackRate}×`);
          break;
        case "frame":
          if (media.paused) seek(media.currentTime + command.step / (content.source.fps || FALLBACK_FPS));
          break;
        case "fullscreen":
          toggleFullscreen(stage.current, media);
          break;
        case "pip":
          if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => {});
          else
            void media
              .requestPictureInPicture?.()
              .catch(() => say("Picture in picture is not available here"));
          break;
        case "help":
          setHelp(true);
          break;
      }
    },
    [content.source.fps, growing, available, seek, total, wake],
  );

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || keepsKey(event.target, event.key)) return;
      const command = commandOf(event);
      if (!command || (event.repeat && command.do !== "skip" && command.do !== "volume")) return;
      event.preventDefault();
      run(command);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [run]);

  const title = titleOf(content);
  useEffect(() => {
    if (!("mediaSession" in navigator)) return;
    navigator.mediaSession.metadata = new MediaMetadata({
      title,
      artwork: content.poster ? [{ src: content.poster, type: "image/jpeg" }] : [],
    });
    return () => {
      navigator.mediaSession.metadata = null;
    };
  }, [title, content.poster]);

  const tap = (event: PointerEvent) => {
    if (event.pointerType === "mouse") run({ do: "toggle" });
    else if (awake) setAwake(false);
    else wake();
  };

  const audioOnly = isAudioOnly(content);
  const visible = awake || held || video.paused || help || audioOnly;
  const upright = (content.source.height ?? 0) > (content.source.width ?? 0);
  return (
    <section
      ref={stage}
      aria-label={`Player: ${title}`}
      data-testid="player"
      data-playing={!video.paused && !video.waiting}
      className={`player relative isolate ${upright ? "aspect-[4/5] sm:aspect-video" : "aspect-video"} max-h-[82dvh] w-full overflow-hidden bg-black text-white ${visible ? "" : "cursor-none"}`}
      onPointerMove={wake}
      onFocus={wake}
    >
      {/* biome-ignore lint/a11y/useMediaCaption: the track is a component. */}
      <video
        ref={element}
        className="size-full object-contain"
        playsInline
        preload="auto"
        poster={content.poster ?? undefined}
        onPointerUp={tap}
        onDoubleClick={() => run({ do: "fullscreen" })}
      >
        {drawn && video.started && (
          <CaptionTrack
            key={`${drawn.url} ${tries}`}
            caption={drawn}
            label={nameOf(drawn, captions.choices)}
            onCues={setCues}
            onTrouble={(text) => setTrouble({ url: drawn.url, text })}
          />
        )}
      </video>
      <canvas ref={still} hidden className="pointer-events-none absolute inset-0 size-full object-contain" />
      {audioOnly && (
        <div className="pointer-events-none absolute inset-0 -z-10 grid place-items-center text-white/40">
          <Icon name="note" size={72} />
        </div>
      )}
      {growing && !refusal && (
        <p className="narrow absolute top-3 left-3 flex items-center gap-2 bg-black/70 px-2 py-1 text-sm">
          <span className="breathe h-3 w-[3px] bg-[#efb45c]" aria-hidden="true" />
          Still being encoded
          {content.progress > 0 && <span className="digits">{percent(content.progress)}</span>}
        </p>
      )}
      {!video.started && !engineState.trouble && !refusal && (
        <button
          type="button"
          className="absolute inset-x-0 top-0 bottom-12 m-auto grid size-16 place-items-center bg-black/70 text-white transition-colors hover:bg-[#0a6456] sm:bottom-0 sm:size-20 focus-visible:outline-white"
          aria-label={`Play ${title}`}
          onClick={() => run({ do: "toggle" })}
        >
          <Icon name="play" size={38} />
        </button>
      )}
      <div role="status" className="pointer-events-none absolute inset-0 grid place-items-center">
        {engineState.trouble ? (
          <p className="max-w-sm bg-black/80 px-4 py-3 text-center">{engineState.trouble}</p>
        ) : video.waiting && video.started && !refusal ? (
          <p className="flex items-center gap-3 bg-black/70 px-3 py-2">
            <span
              className="turn size-5 rounded-full border-2 border-white/30 border-t-white"
              aria-hidden="true"
            />
            <span className={atEdge ? "" : "sr-only"}>{atEdge ? "Waiting for the encoder" : "Loading"}</span>
          </p>
        ) : null}
      </div>
      {flash && (
        <p
          key={flash.id}
          aria-hidden="true"
          className="arrive digits pointer-events-none absolute inset-x-0 top-6 mx-auto w-fit bg-black/75 px-3 py-1.5"
        >
          {flash.text}
        </p>
      )}
      <div hidden={refusal !== null} data-shown={visible} className="player-shade" aria-hidden="true" />
      {!refusal && (
        <CaptionLayer
          cues={cues}
          language={drawn?.language ?? null}
          raised={visible}
          trouble={trouble && trouble.url === drawn?.url ? trouble.text : null}
          onRetry={() => {
            setTrouble(null);
            setTries(tries + 1);
          }}
        />
      )}
      <div
        hidden={refusal !== null}
        className={`player-controls pointer-events-none absolute inset-0 flex flex-col justify-end transition-opacity duration-200 ${visible ? "" : "opacity-0 focus-within:opacity-100"}`}
      >
        <Controls
          content={content}
          video={video}
          engine={engineState}
          total={total}
          available={available || total}
          openEnded={openEnded}
          thumbnails={thumbnails}
          captions={captions}
          fullscreen={fullscreen}
          visible={visible}
          canPip={document.pictureInPictureEnabled === true && !audioOnly}
          run={run}
          onSeek={seek}
          onVolume={(volume) => {
            if (!element.current) return;
            element.current.muted = false;
            element.current.volume = volume;
            rememberVolume(element.current);
          }}
          onSpeed={(speed) => {
            if (element.current) element.current.playbackRate = speed;
          }}
          onLevel={(level) => engine.current?.choose(level)}
          onSound={(index) => engine.current?.listen(index)}
          onHold={setHeld}
        />
      </div>
      {refusal && (
        <Refused
          key={refusal.kind}
          content={content.id}
          refusal={refusal}
          at={engineState.stoppedAt ?? 0}
          signedIn={signedIn}
          onRetry={() => engine.current?.reload()}
        />
      )}
      {help && <Help onClose={() => setHelp(false)} />}
    </section>
  );
}
