/**
 * A thread that holds indexes: their files, and in memory what searches scan. Requests come from `engine.ts` and are
 * answered one after another. The least recently used indexes leave memory when others need the room.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { workerData } from "node:worker_threads";
import { serveCalls } from "../../kernel/thread-calls.ts";
import { dotKernel } from "../../kernel/vectors/dot-kernel.ts";
import type { EngineIndex, IndexRequests, ThreadData } from "./engine-protocol.ts";
import { IndexSearch } from "./index-search.ts";
import { IndexStore } from "./index-store.ts";

interface OpenIndex {
  readonly store: IndexStore;
  readonly search: IndexSearch;
}

/** Files open at a time. */
const OPEN_MAX = 64;

const { directory, memoryBytes } = workerData as ThreadData;
const kernel = dotKernel();
/** The least recently used first. */
const open = new Map<string, OpenIndex>();

const fileOf = (id: string): string => join(directory, `${id}.sqlite`);

function use(index: EngineIndex): OpenIndex {
  let found = open.get(index.id);
  open.delete(index.id);
  if (found === undefined) {
    const store = new IndexStore(fileOf(index.id));
    found = { store, search: new IndexSearch(index, store, kernel) };
  }
  open.set(index.id, found);
  for (const [id, { store }] of open) {
    if (open.size <= OPEN_MAX) break;
    store.close();
    open.delete(id);
  }
  return found;
}

/** Has the index in memory when it fits; others make room. */
function makeResident(index: OpenIndex): void {
  const needed = index.search.bytesNeeded;
  if (needed > memoryBytes) {
    index.search.unload();
    return;
  }
  let used = needed;
  for (const other of [...open.values()].reverse()) {
    if (other === index) continue;
    if (used + other.search.bytes <= memoryBytes) used += other.search.bytes;
    else other.search.unload();
  }
  index.search.load();
}

serveCalls<IndexRequests>({
  apply({ index, ask: { offset, payloads, now, goneBefore } }) {
    const { store, search } = use(index);
    try {
      return store.apply(offset, payloads, now, goneBefore, search.follower);
    } catch (error) {
      // What it heard did not happen.
      search.unload();
      throw error;
    }
  },
  info: ({ index }) => use(index).store.info(),
  properties: ({ index }) => use(index).store.properties.map(({ name, type }) => ({ name, type })),
  namespaces: ({ index, ask }) => use(index).store.namespaces(ask.names),
  get: ({ index, ask }) => use(index).store.get(ask.ids),
  query({ index, ask }) {
    const opened = use(index);
    makeResident(opened);
    return opened.search.search(ask.query);
  },
  list({ index, ask: { after, snapshot, total, count } }) {
    const { store } = use(index);
    return snapshot === undefined ? store.listNow(count) : store.list(after, snapshot, total ?? 0, count);
  },
  drop({ index }) {
    open.get(index.id)?.store.close();
    open.delete(index.id);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${fileOf(index.id)}${suffix}`, { force: true });
    return null;
  },
});
