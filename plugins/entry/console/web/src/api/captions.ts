// Captions and chapters of a content: everything under `/api/v1/contents/{id}` that is about them.

import { api, at, json, query, withJson } from "./client";
import type { Caption, Chapter } from "./types";

/** Properties of captions set by people; `null`: not set. */
export interface CaptionProperties {
  language: string | null;
  label: string | null;
  default: boolean;
  forced: boolean;
  hearing_impaired: boolean;
}

const KINDS: Record<string, string> = {
  vtt: "text/vtt",
  srt: "application/x-subrip",
  ass: "text/x-ssa",
  ssa: "text/x-ssa",
  ttml: "application/ttml+xml",
  dfxp: "application/ttml+xml",
  xml: "application/ttml+xml",
};

/** For file pickers. */
export const CAPTION_FILES = ".vtt,.srt,.ass,.ssa,.ttml,.dfxp,.xml,text/vtt";

/** The type of a file by its name: browsers do not know most of these. */
export function kindOfFile(name: string): string {
  const ending = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  return KINDS[ending] ?? "application/octet-stream";
}

const of = (content: string) => `/api/v1/contents/${at(content)}`;
const said = (flag: boolean) => (flag ? "true" : null);

export const captions = {
  /** The address of the current text. */
  address: (content: string, name: string) => `${of(content)}/captions/${at(name)}`,

  add: (content: string, file: File, properties: CaptionProperties) => {
    const { language, label } = properties;
    const asked = query({
      language,
      label,
      default: said(properties.default),
      forced: said(properties.forced),
      hearing_impaired: said(properties.hearing_impaired),
    });
    return json<Caption>(`${of(content)}/captions${asked}`, {
      method: "POST",
      headers: { "content-type": kindOfFile(file.name) },
      body: file,
    });
  },

  text: (content: string, name: string, signal?: AbortSignal) =>
    api.text(captions.address(content, name), signal),

  /** From a file of any kind, or from a text that is WebVTT. */
  replace: (content: string, name: string, text: string | File) =>
    api.tell(captions.address(content, name), {
      method: "PUT",
      headers: { "content-type": typeof text === "string" ? "text/vtt" : kindOfFile(text.name) },
      body: text,
    }),

  edit: (content: string, name: string, change: CaptionProperties) =>
    api.tell(captions.address(content, name), {
      method: "PATCH",
      headers: { "content-type": "application/merge-patch+json" },
      body: JSON.stringify(change),
    }),

  remove: (content: string, name: string) => api.tell(captions.address(content, name), { method: "DELETE" }),

  setChapters: (content: string, chapters: Chapter[]) =>
    api.tell(`${of(content)}/chapters`, withJson("PUT", chapters)),
};
