/**
 * REST routes of the user Workers of a dispatch namespace: what the account's Workers have under `/workers/scripts`, as far
 * as user Workers have it. Each upload serves at once; there are no versions to choose from, no host names and no triggers.
 */
import { z } from "zod";
import type { DispatchNamespaceRef, UserWorkers } from "../../kernel/capabilities.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { manifestSchema } from "./assets.ts";
import { publicBinding } from "./bindings.ts";
import { scriptContent, withCodeOf, withConfigurationOf } from "./content.ts";
import { checkName } from "./deploy.ts";
import { workersError } from "./errors.ts";
import { userWorkerName } from "./owner.ts";
import { READ, type RouteDeps, sourceOf, TAIL, uploadOf, WRITE } from "./route-deps.ts";
import { secretRoutes } from "./secret-routes.ts";
import type { LiveScript } from "./store.ts";
import { scriptView, settingsView, userWorkerView } from "./views.ts";

/** Documented number of tags of a Worker. */
const TAGS_MAX = 8;
const TAG = /^[^,&]{1,100}$/;

type Deps = Pick<RouteDeps, "kernel" | "store" | "deployer" | "assets" | "durableObjects">;

export function userWorkerRoutes(deps: Deps, { op, path, namespace }: Parameters<UserWorkers["routes"]>[0]): Route[] {
  const { kernel, store, deployer, assets, durableObjects } = deps;
  const SCRIPT = `${path}/:script`;
  const nameOf = (c: RequestContext): string => userWorkerName(namespace(c).id, c.params.script as string);
  const view = async (live: LiveScript) => scriptView(live, await durableObjects.migrationTag(live.script));

  async function named(c: RequestContext): Promise<LiveScript> {
    const live = await store.find(nameOf(c));
    if (live === undefined) throw workersError("userWorkerNotFound");
    return live;
  }

  async function matching({ id }: DispatchNamespaceRef, filter: string | null): Promise<LiveScript[]> {
    const wanted = tagFilter(filter);
    return (await store.ofNamespace(id)).filter(({ script }) => wanted.every(({ tag, has }) => script.settings.tags.includes(tag) === has));
  }

  async function retag(c: RequestContext, change: (tags: readonly string[]) => string[]): Promise<readonly string[]> {
    const { script } = await named(c);
    const tags = checkedTags(change(script.settings.tags));
    return (await deployer.patchSettings(script.name, { tags })).script.settings.tags;
  }

  const scripts: Route[] = [
    {
      op: `${op}.list`,
      method: "GET",
      path,
      permission: TAIL,
      handle: async (c) => Promise.all((await matching(namespace(c), c.query.get("tags"))).map(view)),
    },
    {
      op: `${op}.deleteByTag`,
      method: "DELETE",
      path,
      permission: WRITE,
      async handle(c) {
        const filter = c.query.get("tags");
        if (filter === null) throw workersError("tagFilter", "Workers are deleted in bulk by the filter `tags` only.");
        for (const { script } of await matching(namespace(c), filter)) await deployer.remove(script.name);
        return null;
      },
    },
    {
      op: `${op}.put`,
      method: "PUT",
      path: SCRIPT,
      permission: WRITE,
      async handle(c) {
        const { trusted } = namespace(c);
        const sent = await uploadOf(kernel, c, "optional");
        checkedTags(sent.metadata.tags ?? []);
        const before = await store.find(nameOf(c));
        const latest = before && (await store.latestVersion(before.script.id));
        const bare = sent.modules.length === 0 && sent.metadata.assets === undefined;
        if (bare && latest === undefined) throw workersError("validation", "The first upload of a Worker must have its code.");
        const upload = bare && latest !== undefined ? await withCodeOf(kernel, latest, sent) : sent;
        const { live, version } = await deployer.upload(nameOf(c), upload, { deploy: true, source: sourceOf(c), trusted });
        return { ...(await view(live as LiveScript)), startup_time_ms: version.startupTimeMs };
      },
    },
    {
      op: `${op}.get`,
      method: "GET",
      path: SCRIPT,
      permission: READ,
      async handle(c) {
        const live = await named(c);
        return userWorkerView(live, namespace(c).name, await durableObjects.migrationTag(live.script));
      },
    },
    {
      op: `${op}.delete`,
      method: "DELETE",
      path: SCRIPT,
      permission: WRITE,
      async handle(c) {
        await deployer.remove((await named(c)).script.name);
        return null;
      },
    },
    {
      op: `${op}.content.get`,
      method: "GET",
      path: `${SCRIPT}/content`,
      permission: READ,
      handle: async (c) => scriptContent(kernel, await named(c)),
    },
    {
      op: `${op}.content.put`,
      method: "PUT",
      path: `${SCRIPT}/content`,
      permission: WRITE,
      async handle(c) {
        const { trusted } = namespace(c);
        const before = await named(c);
        const latest = await store.latestVersion(before.script.id);
        if (latest === undefined) throw workersError("noVersions");
        const upload = withConfigurationOf(before, latest, await uploadOf(kernel, c));
        const { live } = await deployer.upload(before.script.name, upload, { deploy: true, source: sourceOf(c), trusted });
        return userWorkerView(live as LiveScript, namespace(c).name, undefined);
      },
    },
    {
      op: `${op}.settings.get`,
      method: "GET",
      path: `${SCRIPT}/settings`,
      permission: READ,
      handle: async (c) => settingsView(await named(c)),
    },
    {
      op: `${op}.bindings.get`,
      method: "GET",
      path: `${SCRIPT}/bindings`,
      permission: READ,
      handle: async (c) => ((await named(c)).versions[0]?.bindings ?? []).map(publicBinding),
    },
    {
      op: `${op}.assets.session`,
      method: "POST",
      path: `${SCRIPT}/assets-upload-session`,
      permission: WRITE,
      async handle(c) {
        checkName(c.params.script as string);
        const { manifest } = await c.json(manifestSchema, 64 * 1024 * 1024);
        return assets.open(nameOf(c), manifest);
      },
    },
  ];

  const tags: Route[] = [
    {
      op: `${op}.tags.list`,
      method: "GET",
      path: `${SCRIPT}/tags`,
      permission: TAIL,
      handle: async (c) => (await named(c)).script.settings.tags,
    },
    {
      op: `${op}.tags.replace`,
      method: "PUT",
      path: `${SCRIPT}/tags`,
      permission: WRITE,
      async handle(c) {
        const wanted = await c.json(z.array(z.string()));
        return retag(c, () => [...new Set(wanted)]);
      },
    },
    {
      op: `${op}.tags.add`,
      method: "PUT",
      path: `${SCRIPT}/tags/:tag`,
      permission: WRITE,
      handle: async (c) => retag(c, (old) => [...new Set([...old, c.params.tag as string])]),
    },
    {
      op: `${op}.tags.delete`,
      method: "DELETE",
      path: `${SCRIPT}/tags/:tag`,
      permission: WRITE,
      async handle(c) {
        await retag(c, (old) => old.filter((tag) => tag !== c.params.tag));
        return null;
      },
    },
  ];

  return [...scripts, ...tags, ...secretRoutes(deps, store, { op, path: SCRIPT, named })];
}

function checkedTags(tags: readonly string[]): string[] {
  if (tags.length > TAGS_MAX) throw workersError("tooManyTags");
  if (!tags.every((tag) => TAG.test(tag))) throw workersError("invalidTag");
  return [...tags];
}

/** `production:yes,trial:no`. */
function tagFilter(text: string | null): { tag: string; has: boolean }[] {
  if (text === null || text === "") return [];
  return text.split(",").map((part) => {
    const [, tag, word] = /^(.+):(yes|no)$/.exec(part) ?? [];
    if (tag === undefined) throw workersError("tagFilter");
    return { tag, has: word === "yes" };
  });
}
