// The page of one content: the player, its details, its renditions and links.

import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { api, messageOf } from "../api/client";
import type { Content } from "../api/types";
import { ago, bytes, clock, dateTime, frameRate } from "../lib/format";
import { navigate, paths } from "../lib/router";
import { isBusy, STATES, titleOf } from "../lib/states";
import { useMayChange, useOwns, useSession } from "../session/use-session";
import { CopyField } from "../ui/copy-field";
import { Confirm } from "../ui/dialog";
import { Icon } from "../ui/icons";
import { Link } from "../ui/link";
import { notify } from "../ui/notices";
import { Slats, StateBadge } from "../ui/slats";
import { Details } from "./details";
import { EncodeAgain } from "./library";
import { Renditions } from "./renditions";
import { useContent } from "./use-content";

const Player = lazy(() => import("../player/player"));
const Access = lazy(() => import("../access/policy"));
const Sharing = lazy(() => import("../access/sharing"));
const Texts = lazy(() => import("../texts/texts"));

export default function ContentPage({ id }: { id: string }) {
  const { content, gone, error, reload, set } = useContent(id);
  const leaving = useRef(false);
  const mayChange = useMayChange(content);
  const owns = useOwns(content);
  const signedIn = useSession().state === "in";

  useEffect(() => {
    if (content) document.title = `${titleOf(content)} · StreamGate`;
  }, [content]);

  if (gone && !leaving.current) {
    return (
      <Message title="Video not found">
        <p>It was deleted, or the address is wrong.</p>
      </Message>
    );
  }
  if (!content) {
    return error ? (
      <Message title="This video could not be loaded">
        <p role="alert">{error}</p>
        <button type="button" className="button" onClick={() => void reload()}>
          Try again
        </button>
      </Message>
    ) : (
      <div role="status">
        <span className="sr-only">Loading</span>
        <div className="breathe aspect-video w-full max-w-5xl bg-well" aria-hidden="true" />
      </div>
    );
  }
  return (
    <article>
      <div className="grid gap-8 lg:grid-cols-[minmax(0,1fr)_20rem]">
        <div className="min-w-0">
          <Stage content={content} />
          <Details content={content} onChange={set} />
        </div>
        <aside aria-label="About this video" className="space-y-8">
          <Progress content={content} />
          <Facts content={content} />
          <Remove
            content={content}
            onRemoved={() => {
              leaving.current = true;
              notify.done(`“${titleOf(content)}” is deleted.`);
              navigate(paths.library);
            }}
          />
        </aside>
      </div>
      {mayChange && (
        <Suspense fallback={null}>
          <Texts content={content} onChange={reload} />
          <Access content={content.id} />
          {owns && signedIn && <Sharing content={content.id} onHandedOver={() => void reload()} />}
        </Suspense>
      )}
      <Technical content={content} open={mayChange} />
    </article>
  );
}

function Message({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <div className="max-w-prose space-y-4 py-12">
      <h1 tabIndex={-1} className="wide text-2xl">
        {title}
      </h1>
      {children}
      <p>
        <Link href={paths.library} className="text-accent underline underline-offset-2">
          Back to the library
        </Link>
      </p>
    </div>
  );
}

/** Renditions and addresses for other players: collapsed, because viewers do not need them. */
function Technical({ content, open }: { content: Content; open: boolean }) {
  if (content.renditions.length === 0 && !content.hls) return null;
  return (
    <details open={open} className="mt-10" data-testid="technical">
      <summary className="wide w-fit cursor-pointer text-lg">Technical details</summary>
      <Renditions content={content} />
      {content.hls && content.dash && (
        <section aria-labelledby="links-title" className="mt-6 max-w-xl">
          <h2 id="links-title" className="wide mb-2">
            Addresses for players
          </h2>
          <div className="space-y-2">
            <CopyField label="HLS" value={new URL(content.hls, location.href).href} />
            <CopyField label="DASH" value={new URL(content.dash, location.href).href} />
          </div>
        </section>
      )}
    </details>
  );
}

/** The player, or its placeholder until there is something to play. */
function Stage({ content }: { content: Content }) {
  if (content.hls) {
    return (
      <Suspense fallback={<div className="breathe aspect-video w-full bg-black" />}>
        <Player key={content.id} content={content} />
      </Suspense>
    );
  }
  const state = STATES[content.state];
  return (
    <div className="relative grid aspect-video w-full place-items-center overflow-hidden bg-well">
      <div className="hatch absolute inset-0 text-ink opacity-[0.06]" aria-hidden="true" />
      <div className="relative max-w-md px-6 text-center">
        <p className={`wide text-xl ${content.state === "failed" ? "text-bad" : ""}`}>
          {content.state === "failed" ? "This video could not be encoded" : state.label}
        </p>
        <p className="mt-1 text-soft">{content.reason || `${state.says}.`}</p>
        {content.state === "failed" && (
          <div className="mt-3 flex justify-center">
            <EncodeAgain content={content} />
          </div>
        )}
      </div>
    </div>
  );
}

function Progress({ content }: { content: Content }) {
  const state = STATES[content.state];
  return (
    <section aria-label="State">
      <p className="sr-only" role="status">
        {state.label}
      </p>
      <StateBadge content={content} />
      {isBusy(content.state) && (
        <Slats value={content.progress} label={state.label} tone={state.tone} className="mt-2 h-2.5" />
      )}
      <p className="mt-1.5 text-soft text-sm">{content.reason || `${state.says}.`}</p>
    </section>
  );
}

function Facts({ content }: { content: Content }) {
  const { source } = content;
  const picture = source.width && source.height ? `${source.width}×${source.height}` : "";
  const rows: [string, string][] = [
    ["Length", content.duration ? clock(content.duration) : ""],
    ["Picture", [picture, frameRate(source.fps), source.video_codec].filter(Boolean).join(", ")],
    [
      "Sound",
      [source.audio_codec, source.audio_channels ? channels(source.audio_channels) : ""]
        .filter(Boolean)
        .join(", "),
    ],
    ["File", [source.filename, source.bytes ? bytes(source.bytes) : ""].filter(Boolean).join(", ")],
  ];
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
      {rows
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="narrow text-soft">{name}</dt>
            <dd className="digits break-words">{value}</dd>
          </div>
        ))}
      <dt className="narrow text-soft">Added</dt>
      <dd>
        <time dateTime={content.created_at} title={dateTime(content.created_at)}>
          {ago(content.created_at)}
        </time>
      </dd>
    </dl>
  );
}

function channels(count: number): string {
  return { 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" }[count] ?? `${count} channels`;
}

function Remove({ content, onRemoved }: { content: Content; onRemoved(): void }) {
  const mayDelete = useOwns(content);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const remove = async () => {
    setBusy(true);
    try {
      await api.remove(content.id);
      onRemoved();
    } catch (error) {
      notify.failed(messageOf(error));
      setBusy(false);
    }
  };
  if (!mayDelete) return null;
  return (
    <div>
      <button type="button" className="button button-small text-bad" onClick={() => setAsking(true)}>
        <Icon name="bin" size={16} />
        Delete
      </button>
      {asking && (
        <Confirm
          title={`Delete “${titleOf(content)}”?`}
          action="Delete permanently"
          busy={busy}
          onConfirm={() => void remove()}
          onClose={() => setAsking(false)}
        >
          <p>The upload and everything encoded from it are deleted. This cannot be undone.</p>
        </Confirm>
      )}
    </div>
  );
}
