/**
 * Where a version of a legacy pipeline delivers: its own bucket, with its own credentials. A version that drains and whose
 * destination takes nothing any more (credentials revoked, bucket gone) delivers to the one of the pipeline's current
 * version instead: that is how a user rescues buffered events.
 */
import type { Objects } from "../../../kernel/capabilities.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import { checkCredentials } from "../credentials.ts";
import { r2Target } from "../r2-target.ts";
import type { SinkSecrets } from "../sink-config.ts";
import type { Target } from "../target.ts";
import type { Instance } from "./instance.ts";
import type { Compression } from "./settings.ts";

/** A version, as far as its destination goes. */
export type Place = Pick<Instance, "pipeline" | "version" | "settings" | "sealed">;

const purpose = (pipeline: string, version: number): string => `pipelines.legacy.${pipeline}.${version}`;

export const sealCredentials = (kernel: KernelSlice, pipeline: string, version: number, secrets: SinkSecrets): string =>
  kernel.secrets.seal(JSON.stringify(secrets), purpose(pipeline, version));

export const openCredentials = (kernel: KernelSlice, { pipeline, version, sealed }: Omit<Place, "settings">): SinkSecrets =>
  JSON.parse(kernel.secrets.open(sealed, purpose(pipeline, version))) as SinkSecrets;

/** `current` gives the pipeline's current version, undefined when it was deleted. */
export function destination(kernel: KernelSlice, objects: Objects, own: Place, current: () => Place | undefined): Target {
  const { compression } = own.settings;
  const first = placeTarget(kernel, objects, own, compression);
  let chosen = first;
  return {
    partitionOf: (time) => first.partitionOf(time),
    async prepare() {
      try {
        chosen = first;
        return await first.prepare();
      } catch (error) {
        const successor = current();
        if (!isGone(error) || successor === undefined || successor.version === own.version) throw error;
        // The file is written as this version says, whatever compression the other has.
        chosen = placeTarget(kernel, objects, successor, compression);
        return await chosen.prepare();
      }
    },
    delivered: (file) => chosen.delivered(file),
    deliver: (written, file) => chosen.deliver(written, file),
  };
}

function placeTarget(kernel: KernelSlice, objects: Objects, place: Place, compression: Compression): Target {
  const { target } = place.settings;
  const format = { type: "json" as const, compression, rowGroupBytes: 0 };
  return r2Target(objects, target, format, async () =>
    checkCredentials(kernel.auth, kernel.accountId, target.bucket, openCredentials(kernel, place)),
  );
}

const isGone = (error: unknown): boolean =>
  error instanceof PlatformError && (error.code === "pipelines.invalidCredentials" || error.code === "pipelines.bucketNotFound");
