// Calls of the HTTP API. Every failure is an ApiError with a sentence for people.

import { PROBLEMS } from "./problems";
import type { Content, Job, Page } from "./types";

/** RFC 9457 problem details, as far as the server sent them. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  /** Of an invalid policy: the place, as a JSON pointer (RFC 6901). */
  pointer?: string;
  /** Of invalid fields: which, as a JSON pointer, and why. */
  errors?: { pointer?: string; detail?: string }[];
}

const PROBLEM_PREFIX = "urn:streamgate:problem:";

/** The last part of a problem's type, such as `not-entitled`; empty: it has none. */
export function kindOf(problem: Problem | null): string {
  return problem?.type?.startsWith(PROBLEM_PREFIX) ? problem.type.slice(PROBLEM_PREFIX.length) : "";
}

export class ApiError extends Error {
  constructor(
    message: string,
    /** 0: the server was not reached. */
    readonly status: number,
    readonly problem: Problem | null,
  ) {
    super(message);
    this.name = "ApiError";
  }

  get kind(): string {
    return kindOf(this.problem);
  }
}

const SENTENCES: Record<number, string> = {
  401: "Sign in first.",
  403: "Permission denied.",
  404: "Not found. It may have been deleted.",
  409: "Someone else changed it at the same time. Reload, then retry.",
  413: "That is larger than this server accepts.",
  415: "Unsupported media type.",
  429: "Too many requests at once. Wait a moment, then retry.",
  502: "Part of the server does not respond. Retry in a moment.",
  503: "The server is starting or overloaded. Retry in a moment.",
  504: "The server took too long to answer. Retry in a moment.",
  507: "The server's disk is full. Delete something, or ask the operator for more space.",
};

const OFFLINE = "The server cannot be reached. Check your connection; nothing is lost.";

/** What went wrong, in one sentence: the server's own text first. */
export function explain(status: number, body: string): { message: string; problem: Problem | null } {
  if (status === 0) return { message: OFFLINE, problem: null };
  const problem = parseProblem(body);
  const words = problem && wordsOf(problem);
  const message = words
    ? /[.!?]$/.test(words)
      ? words
      : `${words}.`
    : (SENTENCES[status] ?? `The server answered with error ${status}.`);
  return { message, problem };
}

/** A problem as text for people: without JSON pointers and quoted like prose. */
function wordsOf(problem: Problem): string {
  const fields = Array.isArray(problem.errors) ? problem.errors : [];
  const said = fields.flatMap(({ pointer, detail }) =>
    pointer && detail ? [`${capital(lastOf(pointer))} ${detail.replace(/\.$/, "")}.`] : [],
  );
  return inProse(said.length > 0 ? said.join(" ") : problem.detail || adviceOf(problem));
}

/** The remedy for a problem without a specific detail. */
function adviceOf(problem: Problem): string {
  const known = Object.entries(PROBLEMS).find(([kind]) => kind === kindOf(problem))?.[1];
  return known ? `${known.title}. ${known.advice}` : (problem.title ?? "");
}

/** A sentence of the server without parts for programs: a leading pointer, backquotes. */
export function inProse(text: string): string {
  const plain = text.replace(/^\/[\w~/-]*:?\s+/, "").replace(/`([^`]*)`/g, "“$1”");
  return capital(plain);
}

/** `/rule/all/0` -> `0`, `/title` -> `title`. */
function lastOf(pointer: string): string {
  return pointer
    .slice(pointer.lastIndexOf("/") + 1)
    .replace(/~1/g, "/")
    .replace(/~0/g, "~");
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function parseProblem(body: string): Problem | null {
  if (!body.trimStart().startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Problem) : null;
  } catch {
    return null;
  }
}

/** The sentence to show for anything thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof Error && error.message) return error.message;
  return "Something went wrong.";
}

/** The same preceded by the title, for answers whose detail is only a remedy. */
export function wholeMessageOf(error: unknown): string {
  const message = messageOf(error);
  const title = error instanceof ApiError ? error.problem?.title : undefined;
  return title && !message.startsWith(title) ? `${title}. ${message}` : message;
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Called for each 401; true: the session is valid again, and the request is worth a retry. */
export type Unauthorized = (error: ApiError, method: string) => Promise<boolean>;

let onUnauthorized: Unauthorized | null = null;

export function whenUnauthorized(handler: Unauthorized | null): void {
  onUnauthorized = handler;
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await requestOnce(path, init);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401 || !onUnauthorized) throw error;
    if (!(await onUnauthorized(error, init.method ?? "GET"))) throw error;
    return requestOnce(path, init);
  }
}

/** Without a retry: for requests that create and check sessions. */
export async function requestOnce(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(OFFLINE, 0, null);
  }
  if (response.ok) return response;
  const body = await response.text().catch(() => "");
  const { message, problem } = explain(response.status, body);
  throw new ApiError(message, response.status, problem);
}

export async function json<T>(path: string, init: RequestInit = {}, send = request): Promise<T> {
  const response = await send(path, {
    ...init,
    headers: { accept: "application/json, application/problem+json", ...init.headers },
  });
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("The server's answer could not be read.", response.status, null);
  }
}

export function query(params: Record<string, string | number | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") search.set(key, String(value));
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}

/** A request whose body is JSON. */
export function withJson(method: string, body: unknown): RequestInit {
  return { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

export const at = (id: string) => encodeURIComponent(id);
export const withSignal = (signal?: AbortSignal): RequestInit => (signal ? { signal } : {});

/** The sort order of the list of contents; newest first by default. */
export type Sort = "newest" | "oldest" | "title";

export interface ContentFilter {
  q?: string;
  state?: string;
  sort?: Sort;
  /** Only one's own. */
  owner?: "me" | undefined;
  /** Only those shared by others. */
  shared?: "me" | undefined;
}

export const api = {
  contents: (filter: ContentFilter, cursor: string | null, limit: number, signal?: AbortSignal) =>
    json<Page<Content>>(`/api/v1/contents${query({ limit, cursor, ...filter })}`, withSignal(signal)),

  content: (id: string, signal?: AbortSignal) =>
    json<Content>(`/api/v1/contents/${at(id)}`, withSignal(signal)),

  edit: (id: string, change: { title?: string; description?: string; tags?: string[] }) =>
    json<Content>(`/api/v1/contents/${at(id)}`, {
      method: "PATCH",
      headers: { "content-type": "application/merge-patch+json" },
      body: JSON.stringify(change),
    }),

  remove: async (id: string): Promise<void> => {
    await request(`/api/v1/contents/${at(id)}`, { method: "DELETE" });
  },

  encodeAgain: async (id: string): Promise<void> => {
    await request(`/api/v1/contents/${at(id)}/retry`, { method: "POST" });
  },

  jobs: (cursor: string | null, limit: number, signal?: AbortSignal) =>
    json<Page<Job>>(`/api/v1/jobs${query({ limit, cursor })}`, withSignal(signal)),

  retryJob: async (id: string): Promise<void> => {
    await request(`/api/v1/jobs/${at(id)}/retry`, { method: "POST" });
  },

  cancelJob: async (id: string): Promise<void> => {
    await request(`/api/v1/jobs/${at(id)}/cancel`, { method: "POST" });
  },

  system: (signal?: AbortSignal) => json<unknown>("/api/v1/system", withSignal(signal)),

  /** A request whose answer has no body. */
  tell: async (path: string, init: RequestInit): Promise<void> => {
    await request(path, init);
  },

  text: async (path: string, signal?: AbortSignal): Promise<string> =>
    (await request(path, withSignal(signal))).text(),
};
