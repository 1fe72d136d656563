// The state of the server: its plugins with their health, and the jobs.

import { useState } from "react";
import { api } from "../api/client";
import type { HealthStatus } from "../api/types";
import { ago, dateTime } from "../lib/format";
import { type ComponentHealth, type PluginReport, readReport } from "../lib/system";
import { Guard } from "../session/guard";
import { Jobs } from "./jobs";
import { usePoll } from "./use-poll";

const EVERY_MS = 5_000;

const LOOK: Record<HealthStatus, { tone: string; label: string }> = {
  healthy: { tone: "text-accent", label: "Healthy" },
  degraded: { tone: "text-busy", label: "Degraded" },
  unhealthy: { tone: "text-bad", label: "Unhealthy" },
};

const fetchReport = async (signal: AbortSignal) => readReport(await api.system(signal));

export default function SystemPage() {
  return (
    <Guard scope="admin" openToo>
      <System />
    </Guard>
  );
}

function System() {
  const { data: report, error, refresh } = usePoll(fetchReport, EVERY_MS);
  const troubled = report?.plugins.filter((plugin) => plugin.status !== "healthy") ?? [];
  return (
    <>
      <h1 tabIndex={-1} className="wide text-2xl outline-none sm:text-3xl">
        {report ? headline(troubled) : "System"}
      </h1>
      {report && (
        <p className="digits mt-1 text-soft">
          {report.plugins.length} plugins
          {report.version && `, StreamGate ${report.version}`}
          {report.since && `, started ${ago(report.since)}`}
        </p>
      )}
      {error && (
        <div role="alert" className="mt-4 border-bad border-l-4 pl-4">
          <p>{error}</p>
          <button type="button" className="button button-small mt-2" onClick={refresh}>
            Try again
          </button>
        </div>
      )}
      {report && (
        <section aria-labelledby="plugins-title" className="mt-8">
          <h2 id="plugins-title" className="wide text-lg">
            Plugins
          </h2>
          <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="plugins">
            {report.plugins.map((plugin) => (
              <PluginRow key={plugin.name} plugin={plugin} />
            ))}
          </ul>
        </section>
      )}
      <Jobs />
    </>
  );
}

function headline(troubled: PluginReport[]): string {
  const [first] = troubled;
  if (!first) return "Everything is healthy";
  return troubled.length === 1
    ? `${first.name} needs attention`
    : `${troubled.length} plugins need attention`;
}

function Mark({ status }: { status: HealthStatus }) {
  const { tone, label } = LOOK[status];
  return (
    <span className={`inline-flex h-5 w-4 shrink-0 items-center gap-[2px] ${tone}`} title={label}>
      <span className="h-3.5 w-[3px] bg-current" />
      <span className={`h-3.5 w-[3px] bg-current ${status === "unhealthy" ? "opacity-20" : ""}`} />
      <span className={`h-3.5 w-[3px] bg-current ${status === "healthy" ? "" : "opacity-20"}`} />
      <span className="sr-only">{label}</span>
    </span>
  );
}

function PluginRow({ plugin }: { plugin: PluginReport }) {
  const wanting = plugin.components.filter((component) => component.status !== "healthy");
  const fine = plugin.components.length - wanting.length;
  const [open, setOpen] = useState(false);
  const shown = open ? plugin.components : wanting;
  return (
    <li className="grid gap-x-6 gap-y-1 py-3 sm:grid-cols-[14rem_1fr_auto]">
      <div className="flex items-start gap-2.5">
        <Mark status={plugin.status} />
        <div className="min-w-0">
          <h3 className="font-semibold">{plugin.name}</h3>
          <p className="digits narrow text-soft text-sm">
            {plugin.version}
            {plugin.state !== "running" && <span className="ml-2 text-ink">{plugin.state}</span>}
          </p>
        </div>
      </div>
      <div className="min-w-0 max-sm:pl-6.5">
        {plugin.description && <p className="text-soft">{plugin.description}</p>}
        {plugin.reason && <p className={LOOK[plugin.status].tone}>{plugin.reason}</p>}
        {shown.length > 0 && (
          <ul className="mt-1 space-y-0.5 text-sm">
            {shown.map((component) => (
              <Component key={component.name} component={component} />
            ))}
          </ul>
        )}
        {fine > 0 && (
          <button
            type="button"
            aria-expanded={open}
            className="narrow mt-0.5 text-accent text-sm underline-offset-2 hover:underline"
            onClick={() => setOpen(!open)}
          >
            {open ? "Show less" : `${fine} healthy ${fine === 1 ? "component" : "components"}`}
          </button>
        )}
      </div>
      <p className="narrow text-soft text-sm max-sm:pl-6.5 sm:text-right">
        {plugin.provides.length > 0 && <span className="block">provides {plugin.provides.join(", ")}</span>}
        {plugin.prefixes.length > 0 && <span className="block">{plugin.prefixes.join("  ")}</span>}
      </p>
    </li>
  );
}

function Component({ component }: { component: ComponentHealth }) {
  const { tone, label } = LOOK[component.status];
  return (
    <li>
      <span className={tone}>{label}</span> <span className="font-semibold">{component.name}</span>
      {component.reason && `: ${component.reason}`}
      {component.since && (
        <span className="digits text-soft" title={dateTime(component.since)}>
          , {ago(component.since)}
        </span>
      )}
    </li>
  );
}
