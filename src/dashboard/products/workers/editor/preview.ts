/**
 * A running preview of code that is being edited, through the API of preview sessions: one session for a visit, an upload
 * for each run, the console by the upload's tail. Its pages have a host name of their own, never this one.
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiFailure, onAccount } from "../../../platform/rest.ts";
import { uploadForm, type WorkerCode } from "./code.ts";

export interface ConsoleEntry {
  readonly id: number;
  readonly level: string;
  readonly text: string;
}

export interface Running {
  /** Origin of the preview's pages. */
  readonly url: string;
  /** Counts the uploads: a page of an older one is to be loaded anew. */
  readonly run: number;
}

interface Trace {
  readonly outcome: string;
  readonly logs: readonly { readonly level: string; readonly message: unknown }[];
  readonly exceptions: readonly { readonly name: string; readonly message: string; readonly stack?: string }[];
}

const ENTRIES_MAX = 500;
const OPEN_TIMEOUT_MS = 5_000;
/** `workers.previewExpired`: a session lives for an hour. */
const EXPIRED = 10049;

/** The platform's host in the URL, by the scheme and port that this page came by. */
function reachable(url: string, webSocket = false): string {
  const parsed = new URL(url);
  const secure = location.protocol === "https:";
  parsed.protocol = webSocket ? (secure ? "wss:" : "ws:") : location.protocol;
  parsed.port = location.port;
  return webSocket ? parsed.href : parsed.origin;
}

const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value, null, 1));

function entriesOf({ outcome, logs, exceptions }: Trace): Omit<ConsoleEntry, "id">[] {
  return [
    ...logs.map(({ level, message }) => ({ level, text: Array.isArray(message) ? message.map(shown).join(" ") : shown(message) })),
    ...exceptions.map(({ name, message, stack }) => ({ level: "error", text: [`${name}: ${message}`, stack].filter(Boolean).join("\n") })),
    ...(outcome === "exceededCpu" || outcome === "exceededMemory" ? [{ level: "error", text: `The Worker was ended: ${outcome}` }] : []),
  ];
}

/** `name` is the Worker's; `metadata` goes with each upload besides the code. */
export function usePreview(name: string, metadata: Readonly<Record<string, unknown>>) {
  const [running, setRunning] = useState<Running>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [entries, setEntries] = useState<readonly ConsoleEntry[]>([]);
  const session = useRef<string>(undefined);
  const socket = useRef<WebSocket>(undefined);
  const runs = useRef(0);
  const nextEntry = useRef(0);

  useEffect(() => () => socket.current?.close(), []);

  const upload = useCallback(
    async (code: WorkerCode) => {
      session.current ??= (await onAccount<{ token: string }>("/workers/subdomain/edge-preview")).result.token;
      const form = uploadForm(code, metadata);
      form.set("wrangler-session-config", JSON.stringify({ workers_dev: true }));
      const headers = { "cf-preview-upload-config-token": session.current };
      const path = `/workers/scripts/${encodeURIComponent(name)}/edge-preview`;
      return (await onAccount<{ preview_url: string; tail_url: string }>(path, { method: "POST", raw: form, headers })).result;
    },
    [name, metadata],
  );

  const listen = useCallback((url: string) => {
    const tail = new WebSocket(reachable(url, true), "trace-v1");
    socket.current?.close();
    socket.current = tail;
    tail.onmessage = ({ data }) => {
      void new Response(data as Blob | string).text().then((text) => {
        const added = entriesOf(JSON.parse(text) as Trace).map((entry) => ({ ...entry, id: nextEntry.current++ }));
        setEntries((before) => [...before, ...added].slice(-ENTRIES_MAX));
      });
    };
    // Without a console the preview is still a preview.
    return new Promise<void>((resolve) => {
      tail.onopen = tail.onerror = () => resolve();
      setTimeout(resolve, OPEN_TIMEOUT_MS);
    });
  }, []);

  const run = useCallback(
    async (code: WorkerCode) => {
      const number = ++runs.current;
      setBusy(true);
      try {
        const uploaded = await upload(code).catch((failure: unknown) => {
          if (!(failure instanceof ApiFailure) || failure.code !== EXPIRED) throw failure;
          session.current = undefined;
          return upload(code);
        });
        if (number !== runs.current) return;
        await listen(uploaded.tail_url);
        if (number !== runs.current) return;
        setError(null);
        setRunning({ url: reachable(uploaded.preview_url), run: number });
      } catch (failure) {
        if (number === runs.current) setError(failure);
      } finally {
        if (number === runs.current) setBusy(false);
      }
    },
    [upload, listen],
  );

  return { running, busy, error, entries, run, clear: () => setEntries([]) };
}
