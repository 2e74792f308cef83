/** Decodes one HEIC file on a thread of its own, which ends with it: libheif, as WebAssembly, holds a thread for a second and more. */
import { parentPort, workerData } from "node:worker_threads";
import libheif from "libheif-js/wasm-bundle.js";

export interface HeicPixels {
  readonly width: number;
  readonly height: number;
  /** RGBA, upright; absent when the file cannot be decoded. */
  readonly pixels?: Uint8ClampedArray;
}

const { bytes, pixelsMax } = workerData as { bytes: Uint8Array; pixelsMax: number };
const [image] = new libheif.HeifDecoder().decode(bytes);
const [width, height] = [image?.get_width() ?? 0, image?.get_height() ?? 0];
if (image === undefined || width * height === 0 || width * height > pixelsMax)
  parentPort?.postMessage({ width, height } satisfies HeicPixels);
else {
  const data = new Uint8ClampedArray(width * height * 4);
  image.display({ data, width, height }, (result) => {
    const answer: HeicPixels = result === null ? { width, height } : { width, height, pixels: result.data };
    parentPort?.postMessage(answer, answer.pixels === undefined ? [] : [answer.pixels.buffer as ArrayBuffer]);
  });
}
