// The frame around every page: header, routes, the drop of files, notices.

import { lazy, Suspense, useEffect } from "react";
import { percent } from "./lib/format";
import { navigate, parseRoute, paths, usePath } from "./lib/router";
import ContentPage from "./pages/content";
import Library from "./pages/library";
import { ErrorBoundary } from "./ui/error-boundary";
import { Sign } from "./ui/icons";
import { Link } from "./ui/link";
import { Notices, notify } from "./ui/notices";
import { ThemeButton } from "./ui/theme";
import { useFileDrop } from "./uploads/gate";
import { useUploads } from "./uploads/panel";
import { uploads } from "./uploads/queue";

const SystemPage = lazy(() => import("./pages/system"));

export function App() {
  const path = usePath();
  const route = parseRoute(path);

  const hovering = useFileDrop((files) => {
    uploads.add(files);
    if (route.page !== "library") navigate(paths.library);
  });

  useEffect(
    () =>
      uploads.whenFinished(({ name, contentId }) =>
        notify.done(
          `${name} is uploaded.`,
          contentId ? { href: paths.content(contentId), label: "Open it" } : undefined,
        ),
      ),
    [],
  );

  useEffect(() => {
    if (route.page === "library") document.title = "StreamGate";
    if (route.page === "system") document.title = "System · StreamGate";
  }, [route.page]);

  return (
    <>
      <a
        href="#main"
        className="button button-main -translate-y-24 fixed top-2 left-2 z-50 focus:translate-y-0"
      >
        Skip to the content
      </a>
      <Header page={route.page} />
      <main id="main" tabIndex={-1} className="outline-none mx-auto w-full max-w-6xl px-4 pt-6 pb-24 sm:px-8">
        <ErrorBoundary key={path}>
          <Suspense fallback={<p role="status">Loading</p>}>
            {route.page === "library" && <Library fileHover={hovering} />}
            {route.page === "content" && <ContentPage key={route.id} id={route.id} />}
            {route.page === "system" && <SystemPage />}
            {route.page === "unknown" && <Unknown />}
          </Suspense>
        </ErrorBoundary>
      </main>
      {hovering && route.page !== "library" && (
        <div className="wide pointer-events-none fixed inset-0 z-30 grid place-items-center bg-paper/85 text-3xl">
          Let go, and it flows
        </div>
      )}
      <Notices />
    </>
  );
}

function Header({ page }: { page: string }) {
  const { uploads: sending } = useUploads();
  const size = sending.reduce((sum, upload) => sum + upload.size, 0);
  const sent = sending.reduce((sum, upload) => sum + upload.sent, 0);
  const link = (current: boolean) =>
    `grid h-14 place-items-center border-b-2 px-1 ${current ? "border-accent" : "border-transparent text-soft hover:text-ink"}`;
  return (
    <header className="border-line border-b">
      <div className="mx-auto flex h-14 max-w-6xl items-center gap-4 px-4 sm:gap-6 sm:px-8">
        <Link
          href={paths.library}
          className="wide flex items-center gap-2 text-lg"
          aria-label="StreamGate, library"
        >
          <span className="text-accent">
            <Sign />
          </span>
          <span className="max-[24rem]:sr-only">StreamGate</span>
        </Link>
        <nav aria-label="Pages" className="ml-auto flex items-center gap-2 sm:gap-4">
          <Link
            href={paths.library}
            aria-current={page === "library" ? "page" : undefined}
            className={link(page === "library")}
          >
            <span>
              Library
              {sending.length > 0 && (
                <span className="digits narrow ml-2 text-accent text-sm">
                  <span className="sr-only">Uploading: </span>
                  {percent(size > 0 ? sent / size : 0)}
                </span>
              )}
            </span>
          </Link>
          <Link
            href={paths.system}
            aria-current={page === "system" ? "page" : undefined}
            className={link(page === "system")}
          >
            System
          </Link>
        </nav>
        <ThemeButton />
      </div>
    </header>
  );
}

function Unknown() {
  return (
    <div className="max-w-prose space-y-4 py-12">
      <h1 tabIndex={-1} className="wide text-2xl">
        There is no such page
      </h1>
      <p>
        The address may be mistyped.{" "}
        <Link href={paths.library} className="text-accent underline underline-offset-2">
          Go to the library
        </Link>
      </p>
    </div>
  );
}
