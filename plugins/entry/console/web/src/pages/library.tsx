// The first page: the gate, the uploads, and the list of contents.

import { useEffect, useState } from "react";
import { AccessBadge } from "../access/badge";
import { api, messageOf, type Sort } from "../api/client";
import type { Content } from "../api/types";
import { ago, bytes, dateTime } from "../lib/format";
import { paths } from "../lib/router";
import { isBusy, mayEncodeAgain, STATE_ORDER, STATES, titleOf } from "../lib/states";
import { useMay, useMayChange, useSession } from "../session/use-session";
import { Icon } from "../ui/icons";
import { Link } from "../ui/link";
import { notify } from "../ui/notices";
import { Poster } from "../ui/poster";
import { Slats, StateBadge } from "../ui/slats";
import { Gate } from "../uploads/gate";
import { UploadPanel, useUploads } from "../uploads/panel";
import { useLibrary, type Whose } from "./use-library";

const TYPING_PAUSE_MS = 250;

export default function Library({ fileHover }: { fileHover: boolean }) {
  const [typed, setTyped] = useState("");
  const [q, setQ] = useState("");
  const [state, setState] = useState("");
  const [sort, setSort] = useState<Sort>("newest");
  useEffect(() => {
    const timer = setTimeout(() => setQ(typed.trim()), TYPING_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const [whose, setWhose] = useState<Whose>("");
  const session = useSession();
  const me = session.state === "in" ? session.identity.principal : null;
  const library = useLibrary({ q, state, sort, whose: me ? whose : "", me });
  const { uploads, interrupted } = useUploads();
  const mayUpload = useMay("content:write");
  const known = session.state !== "unknown";

  const filtered = q !== "" || state !== "" || whose !== "";
  // Uploads of this page are shown above, with their buttons.
  const mine = new Set([...uploads, ...interrupted].map((upload) => upload.contentId));
  const items = library.items.filter((item) => item.state !== "uploading" || !mine.has(item.id));
  const empty = !library.first && !library.error && !filtered && items.length === 0;

  return (
    <>
      <h1 tabIndex={-1} className="sr-only">
        Library
      </h1>
      {mayUpload && (
        <>
          <Gate open={fileHover} tall={empty && uploads.length === 0 && interrupted.length === 0} />
          <UploadPanel />
        </>
      )}
      {empty && !mayUpload && known && <p className="py-12 text-soft">There are no videos yet.</p>}
      {!empty && (
        <section aria-labelledby="contents-title" className="mt-8">
          <div className="flex flex-wrap items-center justify-between gap-x-6 gap-y-3">
            <h2 id="contents-title" className="wide text-lg">
              Videos
            </h2>
            <search className="flex w-full flex-wrap gap-2 sm:w-auto">
              <label className="relative min-w-0 flex-1 basis-full sm:w-64 sm:basis-auto">
                <span className="sr-only">Search in titles, descriptions and tags</span>
                <Icon
                  name="search"
                  size={18}
                  className="pointer-events-none absolute top-3 left-3 text-soft"
                />
                <input
                  type="search"
                  value={typed}
                  placeholder="Search"
                  className="field pl-9"
                  onChange={(event) => setTyped(event.target.value)}
                />
              </label>
              {me && (
                <label>
                  <span className="sr-only">Whose</span>
                  <select
                    className="field"
                    value={whose}
                    onChange={(event) => setWhose(event.target.value as Whose)}
                  >
                    <option value="">Everyone’s</option>
                    <option value="mine">Mine</option>
                    <option value="shared">Shared with me</option>
                  </select>
                </label>
              )}
              <label>
                <span className="sr-only">State</span>
                <select className="field" value={state} onChange={(event) => setState(event.target.value)}>
                  <option value="">All states</option>
                  {STATE_ORDER.map((name) => (
                    <option key={name} value={name}>
                      {STATES[name].label}
                    </option>
                  ))}
                </select>
              </label>
              <label>
                <span className="sr-only">Sort</span>
                <select
                  className="field"
                  value={sort}
                  onChange={(event) => setSort(event.target.value as Sort)}
                >
                  <option value="newest">Newest first</option>
                  <option value="oldest">Oldest first</option>
                  <option value="title">By title</option>
                </select>
              </label>
            </search>
          </div>
          {library.connection === "lost" && (
            <p role="status" className="mt-3 text-busy text-sm">
              The live connection is lost; reconnecting. This list may be out of date.
            </p>
          )}
          {library.error && (
            <div role="alert" className="mt-6 border-bad border-l-4 pl-4">
              <p>{library.error}</p>
              <button type="button" className="button button-small mt-2" onClick={library.reload}>
                Try again
              </button>
            </div>
          )}
          {library.first && library.loading && <LoadingRows />}
          {!library.first && items.length === 0 && filtered && (
            <p className="mt-8 text-soft">
              No videos match.{" "}
              <button
                type="button"
                className="text-accent underline underline-offset-2"
                onClick={() => {
                  setTyped("");
                  setQ("");
                  setState("");
                  setWhose("");
                }}
              >
                Show all videos
              </button>
            </p>
          )}
          {!library.first && (
            <ul className="mt-3 divide-y divide-line border-line border-t" data-testid="contents">
              {items.map((content) => (
                <Row key={content.id} content={content} />
              ))}
            </ul>
          )}
          {library.cursor !== null && (
            <div className="mt-4 flex justify-center">
              <button type="button" className="button" disabled={library.loading} onClick={library.more}>
                {library.loading ? "Loading" : "Load more"}
              </button>
            </div>
          )}
        </section>
      )}
    </>
  );
}

function Row({ content }: { content: Content }) {
  // Users who may change it want to see its openness.
  const mine = useMayChange(content);
  const title = titleOf(content);
  const { source } = content;
  const size = source.width && source.height ? `${source.width}×${source.height}` : "";
  const said = [size, source.bytes ? bytes(source.bytes) : "", ago(content.created_at)].filter(Boolean);
  return (
    <li
      className="group relative flex gap-4 py-4 sm:gap-5"
      data-content={content.id}
      data-state={content.state}
    >
      <Poster content={content} className="w-28 shrink-0 self-start sm:w-44" />
      <div className="flex min-w-0 flex-1 flex-col">
        <h3 className="wide line-clamp-2 text-base leading-snug sm:text-lg">
          <Link
            href={paths.content(content.id)}
            className="decoration-2 underline-offset-4 after:absolute after:inset-0 group-hover:underline"
          >
            {title}
          </Link>
        </h3>
        <div className="mt-1 flex flex-wrap items-baseline gap-x-4 gap-y-0.5">
          <StateBadge content={content} />
          {mine && <AccessBadge content={content.id} />}
          <p className="digits text-soft text-sm" title={dateTime(content.created_at)}>
            {said.join(", ")}
          </p>
        </div>
        {content.reason && content.state === "failed" && <p className="mt-1 text-sm">{content.reason}</p>}
        {content.tags.length > 0 && (
          <p className="narrow mt-1 hidden truncate text-soft text-sm sm:block">
            {content.tags.map((tag) => `#${tag}`).join("  ")}
          </p>
        )}
        {isBusy(content.state) && (
          <Slats
            value={content.progress}
            tone="busy"
            label={`${STATES[content.state].label}: ${title}`}
            className="mt-auto h-1.5 w-full max-w-xl max-sm:mt-2"
          />
        )}
        {content.state === "failed" && <EncodeAgain content={content} />}
      </div>
    </li>
  );
}

export function EncodeAgain({ content }: { content: Content }) {
  const allowed = useMayChange(content);
  // Until the failure that it was pressed for is over, which the live changes report.
  const [pressedFor, setPressedFor] = useState<string | null>(null);
  const busy = pressedFor === content.updated_at;
  const again = async () => {
    setPressedFor(content.updated_at);
    try {
      await api.encodeAgain(content.id);
      notify.done(`“${titleOf(content)}” is queued again.`);
    } catch (error) {
      setPressedFor(null);
      notify.failed(messageOf(error));
    }
  };
  if (!allowed || !mayEncodeAgain(content)) return null;
  return (
    <button
      type="button"
      className="button button-small relative z-10 mt-2 self-start"
      disabled={busy}
      onClick={() => void again()}
    >
      <Icon name="replay" size={16} />
      {busy ? "Queued" : "Encode again"}
    </button>
  );
}

function LoadingRows() {
  return (
    <div className="mt-3 border-line border-t" role="status">
      <span className="sr-only">Loading videos</span>
      {[0, 1, 2].map((row) => (
        <div key={row} className="breathe flex gap-5 py-4" aria-hidden="true">
          <div className="aspect-video w-28 bg-well sm:w-44" />
          <div className="flex-1 space-y-2 pt-1">
            <div className="h-4 w-1/2 bg-well" />
            <div className="h-3 w-1/4 bg-well" />
          </div>
        </div>
      ))}
    </div>
  );
}
