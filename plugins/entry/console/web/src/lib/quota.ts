// Quotas as text, shown and typed.

import type { Amount, Kind, Part, Shown } from "../api/quota";
import { bytes, dateTime } from "./format";

const GIGABYTE = 1e9;

/** What a kind is called, and in what its limit is typed. */
export const NAMES: Record<Shown, { label: string; typed: string }> = {
  stored: { label: "Storage", typed: "Storage, GB" },
  unfinished_uploads: { label: "Unfinished uploads", typed: "Unfinished uploads" },
  encodes: { label: "Encoding at once", typed: "Encoding at once" },
  encode_minutes: { label: "Encoded today", typed: "Encoded a day, minutes" },
  api_keys: { label: "API keys", typed: "API keys" },
  event_streams: { label: "Live streams open", typed: "Live streams open" },
  challenges: { label: "Sign-in challenges of your network", typed: "Sign-in challenges" },
};

const UNITS: Partial<Record<Shown, (value: number) => string>> = {
  stored: bytes,
  encode_minutes: (minutes) => `${minutes} min`,
};

/** `4.2 GB of 100 GB`, `2 of 2, 3 waiting`. */
export function partText(kind: Shown, part: Part): string {
  const unit = UNITS[kind] ?? String;
  const of = typeof part.limit === "number" ? ` of ${unit(part.limit)}` : "";
  const waiting = part.waiting ? `, ${part.waiting} waiting` : "";
  const until = isFull(part) && part.until ? `, again from ${dateTime(part.until)}` : "";
  const each = kind === "challenges" ? " a minute" : "";
  return `${unit(part.used)}${of}${each}${waiting}${until}`;
}

/** Whether it is used up. */
export function isFull({ limit, used }: Part): boolean {
  return typeof limit === "number" && used >= limit;
}

/** A limit as typed; empty: the limit of the roles. */
export function typed(kind: Kind, amount: Amount): string {
  if (amount === null) return "";
  if (amount === "unlimited") return amount;
  return String(kind === "stored" ? amount / GIGABYTE : amount);
}

/** The typed value, or undefined for an invalid limit. */
export function amountOf(kind: Kind, text: string): Amount | undefined {
  const plain = text.trim().toLowerCase();
  if (plain === "") return null;
  if (plain === "unlimited") return plain;
  if (!/^\d+(\.\d+)?$/.test(plain)) return undefined;
  const value = Number(plain);
  if (kind === "stored") return Math.round(value * GIGABYTE);
  return Number.isInteger(value) ? value : undefined;
}
