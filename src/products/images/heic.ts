/**
 * HEIC, the format of iPhones, which comes in and never goes out. libvips as it comes from npm reads its heads but not its
 * pixels, which libheif decodes on a thread of its own: one at a time for each picture in work, ended when it takes too long.
 */
import { Worker } from "node:worker_threads";
import { ImageError } from "./errors.ts";
import type { HeicPixels } from "./heic-thread.ts";
import { PIXELS_MAX } from "./limits.ts";

const TIMEOUT_MS = 30_000;

/** Throws 9412 for a file that cannot be decoded, 9529 for one that takes too long. */
export async function heicPixels(bytes: Buffer): Promise<{ pixels: Buffer; width: number; height: number }> {
  // One file serves both forms of the project: TypeScript in a checkout, JavaScript in the package.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./heic-thread.${extension}`, import.meta.url), { workerData: { bytes, pixelsMax: PIXELS_MAX } });
  const { promise, resolve, reject } = Promise.withResolvers<HeicPixels>();
  const timer = setTimeout(() => reject(new ImageError(9529, "the image timed out while processing")), TIMEOUT_MS);
  worker.once("message", resolve);
  worker.once("error", (cause) => reject(new ImageError(9412, "the image is damaged", { cause })));
  worker.once("exit", () => reject(new ImageError(9412, "the image is damaged")));
  try {
    const { width, height, pixels } = await promise;
    if (pixels === undefined) throw new ImageError(9412, "the image is damaged");
    return { width, height, pixels: Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength) };
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
