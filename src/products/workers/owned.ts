/**
 * Workers of other products, for the capability `ownedWorkers`: the same scripts, versions and processes under names that
 * no user can give, one version each. Not a second way to run code, and not a way to another product's Worker: whoever
 * holds the capability is trusted with names that begin with its own.
 */
import { parseWith } from "../../kernel/api/body.ts";
import type { OwnedWorkers } from "../../kernel/capabilities.ts";
import type { Deployer } from "./deploy.ts";
import { workersError } from "./errors.ts";
import type { Front } from "./http.ts";
import type { Invocations } from "./invocations.ts";
import type { LiveScript, ScriptStore } from "./store.ts";
import { filtersSchema, type Tails } from "./tails.ts";
import { readBundle, readForm } from "./upload.ts";

interface Parts {
  readonly store: ScriptStore;
  readonly deployer: Deployer;
  readonly front: Front;
  readonly tails: Tails;
  readonly invocations: Invocations;
}

export function ownedWorkers({ store, deployer, front, tails, invocations }: Parts): OwnedWorkers {
  function require(name: string): LiveScript {
    const live = store.live(name);
    if (live === undefined) throw workersError("notFound");
    return live;
  }

  return {
    async create(name, code, configure) {
      const form = code instanceof Uint8Array ? await readBundle(code) : code;
      await deployer.upload(name, await readForm(form, configure), { deploy: true, source: name.slice(0, name.indexOf(":")), owned: true });
    },
    names: (prefix) => store.everyone().flatMap(({ script }) => (script.name.startsWith(prefix) ? [script.name] : [])),
    async remove(name) {
      const live = store.live(name);
      if (live === undefined) return;
      tails.end(live.script.id);
      await deployer.remove(name);
    },
    serve: async (name, request, response, options) => front.serve(require(name), request, response, options),
    upgrade: async (name, request, socket, head) => front.upgrade(require(name), request, socket, head),
    invocations: (prefix, window) => invocations.facts(window, (name) => name.startsWith(prefix)),
    async openTail(name, filters) {
      const { id, url, expires_at } = await tails.create(require(name).script, parseWith(filtersSchema, filters).filters, "127.0.0.1");
      return { id, url, expires_at };
    },
    async closeTail(name, id) {
      await tails.remove(require(name).script, id);
    },
  };
}
