// The heading of a page, which gets the focus on navigation, and that of its parts.

import type { ReactNode } from "react";

export function PageTitle({ children }: { children: ReactNode }) {
  return (
    <h1 tabIndex={-1} className="wide text-2xl outline-none sm:text-3xl">
      {children}
    </h1>
  );
}

interface SectionProps {
  id: string;
  title: string;
  /** One sentence under the title. */
  about?: string;
  children: ReactNode;
}

export function Section({ id, title, about, children }: SectionProps) {
  return (
    <section aria-labelledby={id} className="mt-10">
      <h2 id={id} className="wide text-lg">
        {title}
      </h2>
      {about && <p className="mt-0.5 max-w-prose text-soft">{about}</p>}
      {children}
    </section>
  );
}
