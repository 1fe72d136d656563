// The durable jobs, newest first, to inspect, retry and cancel.

import { useCallback, useEffect, useState } from "react";
import { ApiError, api, messageOf } from "../api/client";
import type { Job, JobState } from "../api/types";
import { ago, dateTime, percent } from "../lib/format";
import { paths } from "../lib/router";
import { titleOf } from "../lib/states";
import { Icon } from "../ui/icons";
import { Link } from "../ui/link";
import { notify } from "../ui/notices";
import { Slats } from "../ui/slats";
import { usePoll } from "./use-poll";

const EVERY_MS = 3_000;
const PAGE = 20;

const STATES: Record<JobState, { label: string; tone: string }> = {
  queued: { label: "Queued", tone: "text-soft" },
  running: { label: "Running", tone: "text-busy" },
  completed: { label: "Done", tone: "text-accent" },
  dead: { label: "Failed", tone: "text-bad" },
  cancelled: { label: "Cancelled", tone: "text-soft" },
};

export function Jobs() {
  const [limit, setLimit] = useState(PAGE);
  const fetchJobs = useCallback((signal: AbortSignal) => api.jobs(null, limit, signal), [limit]);
  const { data: page, error, refresh } = usePoll(fetchJobs, EVERY_MS);
  return (
    <section aria-labelledby="jobs-title" className="mt-10">
      <h2 id="jobs-title" className="wide text-lg">
        Jobs
      </h2>
      {error && (
        <p role="alert" className="mt-2 border-bad border-l-4 pl-4">
          {error}
        </p>
      )}
      {page && page.items.length === 0 && (
        <p className="mt-2 text-soft">No jobs yet. Each upload starts one.</p>
      )}
      {page && page.items.length > 0 && (
        <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="jobs">
          {page.items.map((job) => (
            <JobRow key={job.id} job={job} onDone={refresh} />
          ))}
        </ul>
      )}
      {page?.next_cursor && limit < 200 && (
        <div className="mt-4 flex justify-center">
          <button type="button" className="button" onClick={() => setLimit(limit + PAGE)}>
            Load more
          </button>
        </div>
      )}
    </section>
  );
}

function JobRow({ job, onDone }: { job: Job; onDone(): void }) {
  const [busy, setBusy] = useState(false);
  const act = async (action: (id: string) => Promise<void>, said: string) => {
    setBusy(true);
    try {
      await action(job.id);
      notify.done(said);
      onDone();
    } catch (error) {
      notify.failed(messageOf(error));
    } finally {
      setBusy(false);
    }
  };
  const { label, tone } = STATES[job.state] ?? { label: job.state, tone: "" };
  const content = contentOf(job.payload);
  return (
    <li className="flex flex-wrap items-start gap-x-6 gap-y-1 py-3" data-job={job.state}>
      <div className="w-32">
        <p className="font-semibold">{job.queue}</p>
        <p className={`narrow text-sm ${tone}`}>
          {label}
          {job.state === "running" && job.progress > 0 && (
            <span className="digits"> {percent(job.progress)}</span>
          )}
        </p>
      </div>
      <div className="min-w-48 flex-1 text-sm">
        <p className="digits text-soft" title={dateTime(job.updated_at)}>
          {content ? <ContentLink id={content} /> : job.id.slice(0, 8)},{" "}
          {job.attempt > 0 ? `attempt ${job.attempt} of ${job.max_attempts}` : "not started yet"},{" "}
          {ago(job.updated_at)}
        </p>
        {job.waits_for && <p className="text-busy">{job.waits_for}</p>}
        {job.error && <p className={job.state === "dead" ? "text-bad" : ""}>{job.error}</p>}
        {job.state === "running" && (
          <Slats value={job.progress} label={`${job.queue} job`} className="mt-1.5 h-1.5 max-w-md" />
        )}
      </div>
      {(job.state === "dead" || job.state === "cancelled") && (
        <button
          type="button"
          className="button button-small"
          disabled={busy}
          onClick={() => void act(api.retryJob, "The job is queued again.")}
        >
          <Icon name="replay" size={16} />
          Retry
        </button>
      )}
      {(job.state === "queued" || job.state === "running") && (
        <button
          type="button"
          className="button button-small"
          disabled={busy}
          onClick={() => void act(api.cancelJob, "The job is cancelled.")}
        >
          <Icon name="close" size={16} />
          Cancel
        </button>
      )}
    </li>
  );
}

const titles = new Map<string, string>();

/** The content by its title, once that is known. */
function ContentLink({ id }: { id: string }) {
  const [title, setTitle] = useState(titles.get(id));
  useEffect(() => {
    if (titles.has(id)) return;
    const controller = new AbortController();
    api
      .content(id, controller.signal)
      .then((content) => {
        titles.set(id, titleOf(content));
        setTitle(titleOf(content));
      })
      .catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) {
          titles.set(id, "");
          setTitle("");
        }
      });
    return () => controller.abort();
  }, [id]);
  if (title === "") return <span>a deleted video</span>;
  return (
    <Link href={paths.content(id)} className="text-accent underline underline-offset-2">
      {title ?? id.slice(0, 8)}
    </Link>
  );
}

/** The content a job is about, as the `transcode` queue writes it. */
function contentOf(payload: unknown): string | null {
  if (typeof payload !== "object" || payload === null) return null;
  const { content } = payload as { content?: unknown };
  return typeof content === "string" ? content : null;
}
