/**
 * sharp, loaded when the first picture is read: libvips is a large library, and a platform that has no pictures needs none of
 * it. By `require`, since pipelines are also made where nothing can be awaited.
 */
import { createRequire } from "node:module";
import type { Sharp, SharpInput, SharpOptions } from "sharp";

const require = createRequire(import.meta.url);
const load = () => require("sharp") as (input?: SharpInput | SharpOptions, options?: SharpOptions) => Sharp;

/** The library's own function. */
export const sharp = (input: SharpInput | SharpOptions, options?: SharpOptions): Sharp => load()(input, options);
