// The icons, drawn for this page: 20 px, 1.6 px strokes, square ends.

import type { ReactNode } from "react";

const shapes = {
  play: <path d="M6 3.5v13l10.5-6.5z" fill="currentColor" stroke="none" />,
  pause: <path d="M5 3.5h3.5v13H5zM11.5 3.5H15v13h-3.5z" fill="currentColor" stroke="none" />,
  replay: <path d="M4 4v4.5h4.5M4.3 8.5A6.5 6.5 0 1 1 3.6 12" />,
  volume: (
    <>
      <path d="M3 7.5v5h3l4 3.5V4L6 7.5z" fill="currentColor" stroke="none" />
      <path d="M13 7a4.3 4.3 0 0 1 0 6M15.5 4.5a7.8 7.8 0 0 1 0 11" />
    </>
  ),
  muted: (
    <>
      <path d="M3 7.5v5h3l4 3.5V4L6 7.5z" fill="currentColor" stroke="none" />
      <path d="m13 7.5 5 5m0-5-5 5" />
    </>
  ),
  full: <path d="M3 7.5V3h4.5M12.5 3H17v4.5M17 12.5V17h-4.5M7.5 17H3v-4.5" />,
  unfull: <path d="M7.5 3v4.5H3M17 7.5h-4.5V3M12.5 17v-4.5H17M3 12.5h4.5V17" />,
  pip: (
    <>
      <path d="M17 9V4H3v11h5" />
      <path d="M10.5 11H18v5.5h-7.5z" fill="currentColor" stroke="none" />
    </>
  ),
  gear: (
    <>
      <path d="M3 6h6m5 0h3M3 14h3m5 0h6" />
      <circle cx="11.5" cy="6" r="2.2" />
      <circle cx="8.5" cy="14" r="2.2" />
    </>
  ),
  keys: (
    <>
      <path d="M2.5 5h15v10h-15z" />
      <path d="M5.5 8.5h1m3 0h1m3 0h1M6.5 12h7" />
    </>
  ),
  captions: <path d="M2.5 4h15v12h-15zM5.5 9h4m2.5 0h2.5M5.5 12.5H8m2.5 0h4" />,
  headphones: (
    <>
      <path d="M3.5 13v-2.5a6.5 6.5 0 0 1 13 0V13" />
      <path d="M3 11.5h3.5V17H3zM13.5 11.5H17V17h-3.5z" fill="currentColor" stroke="none" />
    </>
  ),
  chapters: <path d="M3 5h2m3 0h9M3 10h2m3 0h9M3 15h2m3 0h9" />,
  down: <path d="M10 4v11.5M5 10.5l5 5 5-5" />,
  check: <path d="m4 10.5 4 4 8-9" />,
  close: <path d="m5 5 10 10M15 5 5 15" />,
  up: <path d="M10 16V4.5M5 9.5l5-5 5 5" />,
  back: <path d="M16 10H4.5m5-5-5 5 5 5" />,
  search: (
    <>
      <circle cx="9" cy="9" r="5.2" />
      <path d="m13 13 4 4" />
    </>
  ),
  edit: <path d="M4 16v-3l8.5-8.5 3 3L7 16zM11 6l3 3" />,
  bin: <path d="M3.5 5.5h13M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5m3-5v5" />,
  copy: <path d="M7 7h9.5v9.5H7zM4.5 13H3.5V3.5H13v1" />,
  sun: (
    <>
      <circle cx="10" cy="10" r="3.2" />
      <path d="M10 2v2m0 12v2m8-8h-2M4 10H2m13.6-5.6-1.4 1.4M5.8 14.2l-1.4 1.4m11.2 0-1.4-1.4M5.8 5.8 4.4 4.4" />
    </>
  ),
  moon: <path d="M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z" />,
  auto: (
    <>
      <circle cx="10" cy="10" r="6.5" />
      <path d="M10 3.5v13a6.5 6.5 0 0 0 0-13z" fill="currentColor" stroke="none" />
    </>
  ),
  wallet: <path d="M15.5 6.5v-3l-12 2v11h14v-10h-13M14 11.5h1.5" />,
  person: (
    <path d="M10 10.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3.5 17c.6-3 3-4.5 6.5-4.5s5.9 1.5 6.5 4.5" />
  ),
  lock: <path d="M4.5 9h11v8h-11zM7 9V6.5a3 3 0 0 1 6 0V9" />,
  plus: <path d="M10 4v12M4 10h12" />,
  alert: <path d="M10 3.5 17.5 16.5h-15zM10 8.5v4m0 1.6v.6" />,
  note: (
    <path d="M7.5 14.5V4.5l8-1.5v9.5M7.5 14.5a2.2 2.2 0 1 1-4.4 0 2.2 2.2 0 0 1 4.4 0zm8-2a2.2 2.2 0 1 1-4.4 0 2.2 2.2 0 0 1 4.4 0z" />
  ),
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof shapes;

export function Icon({ name, size = 20, className }: { name: IconName; size?: number; className?: string }) {
  return (
    <svg
      aria-hidden="true"
      focusable="false"
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      className={className}
    >
      {shapes[name]}
    </svg>
  );
}

/** The logo of StreamGate: a gate half raised over water. */
export function Sign({ size = 26 }: { size?: number }) {
  return (
    <svg
      aria-hidden="true"
      focusable="false"
      width={size}
      height={size}
      viewBox="0 0 32 32"
      fill="currentColor"
    >
      <path d="M3 4h4v24H3zM25 4h4v24h-4zM10 4h3v9h-3zM14.5 4h3v6h-3zM19 4h3v9h-3z" />
      <path d="M9 22c2.3-2.7 4.7-2.7 7 0s4.7 2.7 7 0v5c-2.3 2.7-4.7 2.7-7 0s-4.7-2.7-7 0z" />
    </svg>
  );
}
