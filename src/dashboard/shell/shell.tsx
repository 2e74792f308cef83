/** The frame around every page: products on the left, or behind a button where it is narrow; whose account; the page itself. */
import { CatchBoundary, Link, Outlet, useLocation } from "@tanstack/react-router";
import { type ReactNode, Suspense, useRef } from "react";
import { Button, IconButton } from "../components/button.tsx";
import { Icon, type IconName } from "../components/icon.tsx";
import { Loading } from "../components/page.tsx";
import { useSession } from "../platform/queries.ts";
import { signOut } from "../platform/session.ts";
import { Unexpected } from "./failures.tsx";
import { Logo } from "./logo.tsx";
import { navigation } from "./navigation.ts";
import { ThemeSwitch } from "./theme.tsx";

export function Shell() {
  return (
    <CatchBoundary getResetKey={() => "session"} errorComponent={Unexpected}>
      <Suspense fallback={<Starting />}>
        <Frame />
      </Suspense>
    </CatchBoundary>
  );
}

const Starting = () => (
  <div className="mx-auto w-full max-w-xl p-10">
    <Loading />
  </div>
);

function Frame() {
  // Before anything of a page is asked for: without a session this leads to the sign-in page.
  useSession();
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[15rem_1fr]">
      <button
        type="button"
        onClick={() => main.current?.focus()}
        className="absolute -top-20 left-4 z-50 rounded-lg bg-accent px-3 py-2 text-accent-ink focus:top-4"
      >
        Skip to the page
      </button>
      <aside className="sticky top-0 hidden h-dvh flex-col border-r border-line bg-surface md:flex">
        <Side />
      </aside>
      <TopBar key={pathname} />
      <main ref={main} id="main" tabIndex={-1} className="min-w-0 px-4 py-6 outline-none sm:px-8">
        <div className="mx-auto max-w-6xl">
          <CatchBoundary getResetKey={() => pathname} errorComponent={Unexpected}>
            <Outlet />
          </CatchBoundary>
        </div>
      </main>
    </div>
  );
}

/** Where it is narrow. Made anew for each page, so that going somewhere closes the menu. */
function TopBar() {
  const menu = useRef<HTMLDialogElement>(null);
  return (
    <header className="sticky top-0 z-10 flex items-center justify-between border-b border-line bg-surface px-4 py-2 md:hidden">
      <Link to="/">
        <Logo />
      </Link>
      <IconButton label="Menu" onClick={() => menu.current?.showModal()}>
        <Icon name="menu" className="size-5" />
      </IconButton>
      <dialog ref={menu} aria-label="Menu" className="m-0 h-dvh max-h-none w-64 max-w-[85vw] bg-surface text-ink">
        <div className="absolute top-2.5 right-2">
          <IconButton label="Close the menu" onClick={() => menu.current?.close()}>
            <Icon name="close" />
          </IconButton>
        </div>
        <div className="flex h-full flex-col">
          <Side />
        </div>
      </dialog>
    </header>
  );
}

function Side() {
  return (
    <>
      <div className="px-5 pt-4 pb-3">
        <Link to="/">
          <Logo />
        </Link>
      </div>
      <nav aria-label="Products" className="flex-1 overflow-y-auto px-3">
        <NavLink to="/" exact icon="home">
          Overview
        </NavLink>
        {navigation.map(({ heading, items }) => (
          <div key={heading}>
            <p className="px-2.5 pt-4 pb-1 text-xs font-medium text-soft">{heading}</p>
            {items.map(({ to, label, icon }) => (
              <NavLink key={to} to={to} icon={icon}>
                {label}
              </NavLink>
            ))}
          </div>
        ))}
      </nav>
      <Account />
    </>
  );
}

function NavLink({ to, exact = false, icon, children }: { to: string; exact?: boolean; icon: IconName; children: ReactNode }) {
  return (
    <Link
      to={to}
      activeOptions={{ exact }}
      className="flex items-center gap-2.5 rounded-lg px-2.5 py-1.5 text-sm text-soft hover:bg-raised hover:text-ink aria-[current=page]:bg-accent-wash aria-[current=page]:font-medium aria-[current=page]:text-accent"
    >
      <Icon name={icon} className="size-4.5" />
      {children}
    </Link>
  );
}

function Account() {
  const { accountName, accountId } = useSession();
  return (
    <div className="border-t border-line px-5 py-3">
      <p className="text-sm font-medium">{accountName}</p>
      <p className="truncate font-mono text-xs text-soft" title={accountId}>
        {accountId}
      </p>
      <div className="mt-2 -ml-2 flex items-center justify-between">
        <Button look="quiet" className="px-2" onClick={() => void signOut()}>
          Sign out
        </Button>
        <ThemeSwitch />
      </div>
    </div>
  );
}
