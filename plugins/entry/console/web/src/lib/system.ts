// Parses the system report (`GET /api/v1/system`). Reads the known parts and ignores the rest, so that a
// newer kernel's report still shows.

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
  provides: string[];
  prefixes: string[];
  status: HealthStatus;
  components: ComponentHealth[];
}

export interface SystemReport {
  version: string;
  since: string | null;
  plugins: PluginReport[];
}

const RANK: Record<HealthStatus, number> = { healthy: 0, degraded: 1, unhealthy: 2 };

const isStatus = (text: string): text is HealthStatus => text in RANK;

export function readReport(value: unknown): SystemReport {
  const report = record(value);
  const kernel = record(report.kernel);
  return {
    version: text(kernel.version),
    since: time(kernel.started_at),
    plugins: records(report.plugins).map(readPlugin),
  };
}

function readPlugin(value: Record<string, unknown>): PluginReport {
  const components = records(value.components).map(readComponent);
  const state = text(value.state) || "unknown";
  const status = text(value.status);
  return {
    name: text(value.name),
    version: text(value.version),
    description: text(value.description),
    state,
    // For a running plugin it repeats its worst component.
    reason: state === "running" ? "" : text(value.reason),
    provides: texts(value.provides),
    prefixes: texts(value.prefixes),
    status: isStatus(status) ? status : worst(components.map((component) => component.status)),
    components,
  };
}

function readComponent(value: Record<string, unknown>): ComponentHealth {
  const status = text(value.status);
  return {
    name: text(value.name),
    status: isStatus(status) ? status : "unhealthy",
    reason: text(value.reason),
    since: time(value.since),
  };
}

function worst(statuses: HealthStatus[]): HealthStatus {
  return statuses.reduce<HealthStatus>((bad, status) => (RANK[status] > RANK[bad] ? status : bad), "healthy");
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(record) : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === "string") : [];
}

/** RFC 3339. */
function time(value: unknown): string | null {
  return typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : null;
}
