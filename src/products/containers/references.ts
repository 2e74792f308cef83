/**
 * Image references. Clients name an image of the platform's registry by one of its public names; the engine knows the same
 * image by an address on the loopback interface, and by digest, so that a tag which moves changes no running application.
 */
import type { Credentials } from "./credentials.ts";
import type { Engine } from "./engine.ts";
import { containersError } from "./errors.ts";
import type { Images } from "./images.ts";

/** The name that clients have built in. */
export const PUBLIC_REGISTRY = "registry.cloudflare.com";

export interface References {
  /** Throws the error that names the image when the registry does not have it. Images of other registries are not looked at. */
  check(image: string): Promise<void>;
  /** Makes the engine have the image; its name there. */
  prepare(image: string): Promise<string>;
}

export interface ReferencesOptions {
  readonly images: Images;
  readonly engine: Engine;
  readonly credentials: Credentials;
  readonly accountId: string;
  /** Names of the platform's registry, the engine's among them. */
  readonly names: () => readonly string[];
  /** Where the engine finds it: "127.0.0.1:41234". */
  readonly registry: () => string;
}

const PULL_MINUTES = 60;

export function openReferences({ images, engine, credentials, accountId, names, registry }: ReferencesOptions): References {
  const pulling = new Map<string, Promise<void>>();

  /** Repository and tag or digest of an image of ours; undefined for one of another registry. */
  function own(image: string): { repository: string; reference: string } | undefined {
    const host = names().find((name) => image.startsWith(`${name}/`));
    if (host === undefined) return undefined;
    const [, path = "", tag, digest] = /^([^:@]+)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(image.slice(host.length + 1)) ?? [];
    const reference = digest ?? tag;
    if (!path.startsWith(`${accountId}/`) || reference === undefined) throw notFound(image);
    return { repository: path.slice(accountId.length + 1), reference };
  }

  async function digestOf(image: string): Promise<string | undefined> {
    const found = own(image);
    if (found === undefined) return undefined;
    const manifest = await images.manifest(found.repository, found.reference);
    if (manifest === undefined) throw notFound(image);
    return `${registry()}/${accountId}/${found.repository}@${manifest.digest}`;
  }

  async function pull(reference: string, isOwn: boolean): Promise<void> {
    if (await engine.hasImage(reference)) return;
    await engine.pull(reference, isOwn ? credentials.issue(["pull"], PULL_MINUTES) : undefined);
  }

  return {
    async check(image) {
      await digestOf(image);
    },
    async prepare(image) {
      const digest = await digestOf(image);
      const reference = digest ?? image;
      // Objects that start at the same time wait for one pull.
      const running = pulling.get(reference) ?? pull(reference, digest !== undefined).finally(() => pulling.delete(reference));
      pulling.set(reference, running);
      await running;
      return reference;
    },
  };
}

const notFound = (image: string) => containersError("invalid", JSON.stringify({ error: "IMAGE_NOT_FOUND", details: { image } }));
