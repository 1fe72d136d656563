// Reads the system report (`GET /api/v1/system`). Takes what it knows and leaves out
// the rest, so that a newer kernel's report still shows.

import type { HealthStatus } from "../api/types";

export interface ComponentHealth {
  name: string;
  status: HealthStatus;
  reason: string;
  since: string | null;
}

export interface PluginReport {
  name: string;
  version: string;
  description: string;
  state: string;
  reason: string;
  since: string | null;
  provides: string[];
  prefixes: string[];
  status: HealthStatus;
  components: ComponentHealth[];
}

export interface SystemReport {
  version: string;
  since: string | null;
  status: HealthStatus;
  plugins: PluginReport[];
}

const RANK: Record<HealthStatus, number> = { healthy: 0, degraded: 1, unhealthy: 2 };
/** Plugin states in which all is as it should be. */
const FINE = new Set(["running", "started", "ready", "disabled"]);

export function readReport(value: unknown): SystemReport {
  const report = record(value);
  const kernel = record(report.kernel);
  const plugins = records(report.plugins).map(readPlugin);
  return {
    version: text(kernel.version) || text(report.version),
    since: time(kernel.started_at ?? kernel.since ?? report.started_at),
    status: worst(plugins.map((plugin) => plugin.status)),
    plugins,
  };
}

function readPlugin(value: Record<string, unknown>): PluginReport {
  const components = records(value.health ?? value.components).map(readComponent);
  const state = text(value.state) || "unknown";
  const own: HealthStatus = FINE.has(state)
    ? "healthy"
    : /fail|quarantine/.test(state)
      ? "unhealthy"
      : "degraded";
  return {
    name: text(value.name),
    version: text(value.version),
    description: text(value.description),
    state,
    reason: text(value.reason),
    since: time(value.since),
    provides: texts(value.provides),
    prefixes: texts(value.prefixes),
    status: worst([own, ...components.map((component) => component.status)]),
    components,
  };
}

function readComponent(value: Record<string, unknown>): ComponentHealth {
  const status = text(value.status) || text(value.state);
  return {
    name: text(value.component) || text(value.name),
    status: status in RANK ? (status as HealthStatus) : "unhealthy",
    reason: text(value.reason),
    since: time(value.since),
  };
}

export function worst(statuses: HealthStatus[]): HealthStatus {
  return statuses.reduce<HealthStatus>((bad, status) => (RANK[status] > RANK[bad] ? status : bad), "healthy");
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** A list of objects, also when it is a map of them by name. */
function records(value: unknown): Record<string, unknown>[] {
  if (Array.isArray(value)) return value.map(record);
  return Object.entries(record(value)).map(([name, entry]) => ({ name, ...record(entry) }));
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === "string") : [];
}

/** RFC 3339, or Unix milliseconds. */
function time(value: unknown): string | null {
  if (typeof value === "number" && value > 0) return new Date(value).toISOString();
  return typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : null;
}
