/**
 * A thread that holds instances: their files, and in memory what searches scan. Requests come from `engine.ts` and are
 * answered one after another. The least recently used instances leave memory when others need the room.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { workerData } from "node:worker_threads";
import { serveCalls } from "../../../kernel/thread-calls.ts";
import { dotKernel } from "../../../kernel/vectors/dot-kernel.ts";
import { findAnswer, keepAnswer } from "./answers.ts";
import type { Requests, ThreadData } from "./protocol.ts";
import { Search } from "./search.ts";
import { Store, toItem } from "./store.ts";

interface Open {
  readonly store: Store;
  readonly search: Search;
}

/** Files open at a time. */
const OPEN_MAX = 64;

const { directory, memoryBytes, answersMax } = workerData as ThreadData;
const kernel = dotKernel();
/** The least recently used first. */
const open = new Map<string, Open>();

const fileOf = (uid: string): string => join(directory, `${uid}.sqlite`);

function use(uid: string): Open {
  let found = open.get(uid);
  open.delete(uid);
  if (found === undefined) {
    const store = new Store(fileOf(uid));
    found = { store, search: new Search(store, kernel) };
  }
  open.set(uid, found);
  for (const [other, { store }] of open) {
    if (open.size <= OPEN_MAX) break;
    store.close();
    open.delete(other);
  }
  return found;
}

/** Has the instance's vectors in memory when they fit; others make room. */
function makeResident(wanted: Open): void {
  const needed = wanted.search.bytesNeeded;
  if (needed > memoryBytes) {
    wanted.search.unload();
    return;
  }
  let used = needed;
  for (const other of [...open.values()].reverse()) {
    if (other === wanted) continue;
    if (used + other.search.bytes <= memoryBytes) used += other.search.bytes;
    else other.search.unload();
  }
  wanted.search.load();
}

const store = (uid: string): Store => use(uid).store;

serveCalls<Requests>({
  scan: ({ uid, source, run, now, found }) => store(uid).scan(source, run, now, found),
  sweep: ({ uid, source, run, limit }) => store(uid).sweep(source, run, limit),
  retry({ uid }) {
    store(uid).retry();
    return null;
  },
  requeue: ({ uid }) => ({ waiting: store(uid).requeue() }),
  take: ({ uid, limit }) => store(uid).take(limit),
  index({ uid, now, indexed }) {
    store(uid).index(now, indexed);
    return null;
  },
  unchanged({ uid, now, item, modified }) {
    store(uid).unchanged(now, item, modified);
    return null;
  },
  fail({ uid, now, item, status, reason, etag }) {
    store(uid).fail(now, item, status, reason, etag);
    return null;
  },
  outdate({ uid, item }) {
    store(uid).outdate(item);
    return null;
  },
  add: ({ uid, now, source, found, metadata, file }) => store(uid).add(now, source, found, metadata, file),
  remove: ({ uid, item }) => store(uid).remove(item),
  item({ uid, item }) {
    const row = store(uid).row(item);
    return row === undefined ? null : toItem(row);
  },
  items: ({ uid, query }) => store(uid).items(query),
  file: ({ uid, item }) => store(uid).file(item),
  chunks: ({ uid, item, offset, limit }) => store(uid).chunks(item, offset, limit),
  logs: ({ uid, item, before, limit }) => store(uid).logs(item, before, limit),
  stats: ({ uid }) => store(uid).stats(),
  search({ uid, search }) {
    const opened = use(uid);
    makeResident(opened);
    return opened.search.search(search);
  },
  findAnswer: ({ uid, scope, shingles, least, now }) => findAnswer(store(uid), scope, shingles, least, now),
  keepAnswer({ uid, ...kept }) {
    keepAnswer(store(uid), kept, answersMax);
    return null;
  },
  drop({ uid }) {
    open.get(uid)?.store.close();
    open.delete(uid);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${fileOf(uid)}${suffix}`, { force: true });
    return null;
  },
});
