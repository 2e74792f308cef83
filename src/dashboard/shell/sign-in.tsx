/**
 * Signing in: by the link of `freehold dash`, whose code is in the address's fragment, or with an API token. Beside a
 * destination the fragment is the destination's, as of a link to code in the playground.
 */
import { createRoute } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { Button } from "../components/button.tsx";
import { TextField } from "../components/form.tsx";
import { Failure } from "../components/page.tsx";
import { session, signIn } from "../platform/session.ts";
import { Logo } from "./logo.tsx";
import { rootRoute } from "./root.tsx";

export const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sign-in",
  validateSearch: (search: Record<string, unknown>): { to?: string } => (typeof search.to === "string" ? { to: search.to } : {}),
  component: SignIn,
});

/** A page of this app, whatever the address says. */
const destination = (to: string | undefined): string =>
  to !== undefined && /^\/(?![/\\])/.test(to) && !to.startsWith("/sign-in") ? to : "/";

function SignIn() {
  const { to } = signInRoute.useSearch();
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();

  const enter = async (credentials: { token: string } | { code: string }) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await signIn(credentials);
      // A whole load: nothing of an earlier session's memory is left.
      location.replace(destination(to) + (to === undefined ? "" : location.hash));
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };

  // biome-ignore lint/correctness/useExhaustiveDependencies: once, for the address that the page was opened with.
  useEffect(() => {
    document.title = "Sign in · Freehold";
    const code = location.hash.slice(1);
    if (code !== "" && to === undefined) {
      // Not kept in the history: it is used up now.
      history.replaceState(null, "", location.pathname + location.search);
      void enter({ code });
      return;
    }
    // Whoever comes by a link of another site is signed in without the server having seen it.
    session().then(
      () => location.replace(destination(to) + location.hash),
      () => undefined,
    );
  }, []);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (token.trim() !== "") void enter({ token: token.trim() });
  };

  return (
    <main className="flex min-h-dvh items-center justify-center p-4">
      <div className="w-full max-w-sm">
        <div className="mb-5 flex justify-center text-lg">
          <Logo />
        </div>
        <form onSubmit={submit} className="flex flex-col gap-4 rounded-2xl border border-line bg-surface p-6">
          <h1 className="text-lg font-semibold">Sign in</h1>
          <p className="text-sm text-soft">
            Run <code className="rounded bg-raised px-1 font-mono text-ink">freehold dash</code> on the platform's machine and open the link
            that it prints. Or paste an API token; the session may do what the token may, and ends with it.
          </p>
          <TextField label="API token" type="password" value={token} onChange={setToken} autoComplete="current-password" autoFocus />
          <Failure error={failure} />
          <Button type="submit" look="primary" busy={busy} disabled={token.trim() === ""}>
            Sign in
          </Button>
        </form>
      </div>
    </main>
  );
}
