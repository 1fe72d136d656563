// The frame around every page: header, routes, the drop of files, notices.

import { lazy, Suspense, useEffect } from "react";
import type { ApiError } from "./api/client";
import { whenUnauthorized } from "./api/client";
import { percent } from "./lib/format";
import { goToSignIn, navigate, parseRoute, paths, usePath } from "./lib/router";
import { shortAddress, splitWallet } from "./lib/wallets";
import ContentPage from "./pages/content";
import Library from "./pages/library";
import { may, session } from "./session/session";
import { useMay, useSession } from "./session/use-session";
import { ErrorBoundary } from "./ui/error-boundary";
import { Icon, Sign } from "./ui/icons";
import { Link } from "./ui/link";
import { Notices, notify } from "./ui/notices";
import { ThemeButton } from "./ui/theme";
import { useFileDrop } from "./uploads/gate";
import { useUploads } from "./uploads/panel";
import { uploads } from "./uploads/queue";

const SystemPage = lazy(() => import("./pages/system"));
const AccountPage = lazy(() => import("./pages/account"));
const AdminPage = lazy(() => import("./pages/admin"));
const SignInPage = lazy(() => import("./pages/sign-in"));
const SetupPage = lazy(() => import("./pages/setup"));
const WelcomePage = lazy(() => import("./pages/welcome"));

const TITLES: Record<string, string> = {
  library: "StreamGate",
  system: "System · StreamGate",
  account: "My account · StreamGate",
  admin: "Administration · StreamGate",
  "sign-in": "Sign in · StreamGate",
  setup: "Set up · StreamGate",
  welcome: "Welcome · StreamGate",
};

/** Without a session: an action leads to the sign-in, viewing does not. */
async function onUnauthorized(error: ApiError, method: string): Promise<boolean> {
  const wasIn = session.get().state === "in";
  if (await session.refused(error)) return true;
  if (session.get().state !== "out") return false;
  if (wasIn) notify.failed("Your session has ended. Sign in to return to this page.");
  if (wasIn || method !== "GET") goToSignIn();
  return false;
}

export function App() {
  const path = usePath();
  const route = parseRoute(path);

  const mayUpload = useMay("content:write");
  const hovering = useFileDrop((files) => {
    if (!mayUpload) {
      notify.failed("Uploading needs the creator role. Sign in, or ask an admin for it.");
      return;
    }
    uploads.add(files);
    if (route.page !== "library") navigate(paths.library);
  });

  useEffect(() => {
    whenUnauthorized(onUnauthorized);
    void session.load();
    return () => whenUnauthorized(null);
  }, []);

  useEffect(
    () =>
      uploads.whenFinished(({ name, contentId }) =>
        notify.done(
          `${name} is uploaded.`,
          contentId ? { href: paths.content(contentId), label: "Open" } : undefined,
        ),
      ),
    [],
  );

  useEffect(() => {
    const title = TITLES[route.page];
    if (title) document.title = title;
  }, [route.page]);

  return (
    <>
      <a
        href="#main"
        className="button button-main -translate-y-24 fixed top-2 left-2 z-50 focus:translate-y-0"
      >
        Skip to main content
      </a>
      <Header page={route.page} />
      <main id="main" tabIndex={-1} className="outline-none mx-auto w-full max-w-6xl px-4 pt-6 pb-24 sm:px-8">
        <ErrorBoundary key={path}>
          <Suspense fallback={<p role="status">Loading</p>}>
            {route.page === "library" && <Library fileHover={hovering} />}
            {route.page === "content" && <ContentPage key={route.id} id={route.id} />}
            {route.page === "system" && <SystemPage />}
            {route.page === "account" && <AccountPage />}
            {route.page === "admin" && <AdminPage />}
            {route.page === "sign-in" && <SignInPage />}
            {route.page === "setup" && <SetupPage code={route.code} again={route.again} />}
            {route.page === "welcome" && <WelcomePage />}
            {route.page === "unknown" && <Unknown />}
          </Suspense>
        </ErrorBoundary>
      </main>
      {hovering && mayUpload && route.page !== "library" && (
        <div className="wide pointer-events-none fixed inset-0 z-30 grid place-items-center bg-paper/85 text-3xl">
          Drop to upload
        </div>
      )}
      <Notices />
    </>
  );
}

function Header({ page }: { page: string }) {
  const now = useSession();
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
          <span className="max-[30rem]:sr-only">StreamGate</span>
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
          {may(now, "admin") && (
            <Link
              href={paths.system}
              aria-current={page === "system" ? "page" : undefined}
              className={link(page === "system")}
            >
              System
            </Link>
          )}
          {now.state === "in" && may(now, "admin") && (
            <Link
              href={paths.admin}
              aria-current={page === "admin" ? "page" : undefined}
              className={link(page === "admin")}
            >
              Admin
            </Link>
          )}
        </nav>
        <Account page={page} />
        <ThemeButton />
      </div>
    </header>
  );
}

/** My account, or the sign-in. */
function Account({ page }: { page: string }) {
  const now = useSession();
  if (now.state === "out" && page !== "sign-in") {
    return (
      <button type="button" className="button button-small" onClick={goToSignIn}>
        Sign in
      </button>
    );
  }
  if (now.state !== "in") return null;
  const [wallet] = now.identity.wallets;
  const name = wallet ? shortAddress(splitWallet(wallet).address) : "Account";
  return (
    <Link
      href={paths.account}
      aria-label={`My account, ${name}`}
      aria-current={page === "account" ? "page" : undefined}
      className="button button-small"
    >
      <Icon name="person" size={18} />
      <span className="digits max-sm:hidden">{name}</span>
    </Link>
  );
}

function Unknown() {
  return (
    <div className="max-w-prose space-y-4 py-12">
      <h1 tabIndex={-1} className="wide text-2xl">
        Page not found
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
