/**
 * The `observability` settings as uploads and script settings carry them. What they mean is for whoever keeps logs and
 * traces; here they are checked, and the text of a form's fields becomes what it stands for.
 */
import { z } from "zod";

const flag = z.union([z.boolean(), z.enum(["true", "false"]).transform((text) => text === "true")]);
const rate = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^[\d.]+$/)
      .transform(Number),
  ])
  .pipe(z.number().min(0).max(1));
const signal = z.looseObject({
  enabled: flag.nullish(),
  head_sampling_rate: rate.nullish(),
  invocation_logs: flag.nullish(),
  persist: flag.nullish(),
  destinations: z.array(z.string()).max(20).nullish(),
});

export const observabilitySchema = z.looseObject({
  enabled: flag.nullish(),
  head_sampling_rate: rate.nullish(),
  redact_query_string: flag.nullish(),
  logs: signal.nullish(),
  traces: signal.nullish(),
});
