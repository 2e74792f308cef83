/**
 * Uploads of files, outside of any page: they go on while people look elsewhere in the app. A few at a time; a file is
 * streamed from the disk by the browser and never held in memory. XMLHttpRequest, because fetch tells nothing of progress.
 */
import { failureOf, PAGE_HEADER } from "../../platform/rest.ts";
import { session } from "../../platform/session.ts";
import { type BucketRef, jurisdictionHeader, objectPath } from "./api.ts";

export interface Upload {
  readonly id: number;
  readonly ref: BucketRef;
  readonly key: string;
  readonly size: number;
  readonly loaded: number;
  readonly state: "waiting" | "going" | "done" | "failed";
  readonly error?: string;
}

const AT_ONCE = 3;

interface Job {
  upload: Upload;
  readonly file: File;
  request?: XMLHttpRequest;
}

let jobs: readonly Job[] = [];
let snapshot: readonly Upload[] = [];
let nextId = 1;
const listeners = new Set<() => void>();
const doneListeners = new Set<(ref: BucketRef) => void>();

export const uploads = {
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  all: (): readonly Upload[] => snapshot,
  /** Called whenever an object has arrived. */
  onDone(listener: (ref: BucketRef) => void): () => void {
    doneListeners.add(listener);
    return () => doneListeners.delete(listener);
  },
  add(ref: BucketRef, files: readonly { key: string; file: File }[]): void {
    const added = files.map(
      ({ key, file }): Job => ({ file, upload: { id: nextId++, ref, key, size: file.size, loaded: 0, state: "waiting" } }),
    );
    jobs = [...jobs, ...added];
    changed();
    startNext();
  },
  cancel(id: number): void {
    const job = jobs.find(({ upload }) => upload.id === id);
    job?.request?.abort();
    jobs = jobs.filter((other) => other !== job);
    changed();
    startNext();
  },
  retry(id: number): void {
    change(id, { state: "waiting", loaded: 0 });
    startNext();
  },
  /** Takes those off the list that have ended. */
  clear(): void {
    jobs = jobs.filter(({ upload }) => upload.state === "waiting" || upload.state === "going");
    changed();
  },
};

function changed(): void {
  snapshot = jobs.map(({ upload }) => upload);
  for (const listener of listeners) listener();
}

function change(id: number, to: Partial<Upload>): void {
  for (const job of jobs) if (job.upload.id === id) job.upload = { ...job.upload, ...to };
  changed();
}

function startNext(): void {
  const going = jobs.filter(({ upload }) => upload.state === "going").length;
  for (const job of jobs.filter(({ upload }) => upload.state === "waiting").slice(0, AT_ONCE - going)) {
    change(job.upload.id, { state: "going" });
    void send(job);
  }
}

async function send(job: Job): Promise<void> {
  const { id, ref, key } = job.upload;
  const fail = (error: string): void => {
    change(id, { state: "failed", error });
    startNext();
  };
  let accountId: string;
  try {
    ({ accountId } = await session());
  } catch (error) {
    fail((error as Error).message);
    return;
  }
  const request = new XMLHttpRequest();
  job.request = request;
  request.open("PUT", `/client/v4/accounts/${accountId}${objectPath(ref, key)}`);
  const headers = { ...PAGE_HEADER, ...jurisdictionHeader(ref.jurisdiction), "content-type": job.file.type || "application/octet-stream" };
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded }) => change(id, { loaded });
  request.onerror = () => fail("The connection broke off.");
  request.onload = () => {
    if (request.status < 400) {
      change(id, { state: "done", loaded: job.upload.size });
      for (const listener of doneListeners) listener(ref);
      startNext();
      return;
    }
    const { message, code } = failureOf(request.status, jsonOf(request.responseText));
    fail(code > 0 ? `${message} (code ${code})` : message);
  };
  request.send(job.file);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not an answer of the API: the status alone tells.
    return undefined;
  }
}

// Leaving the app would end them.
window.addEventListener("beforeunload", (event) => {
  if (snapshot.some(({ state }) => state === "going" || state === "waiting")) event.preventDefault();
});
