/** The newest compatibility date that is certain to run: a Worker that asks for a later one than workerd knows does not start. */
import { createRequire } from "node:module";

const { compatibilityDate } = createRequire(import.meta.url)("workerd") as { readonly compatibilityDate: string };

/** Today, or the date of workerd's build when that is earlier: "2026-11-17". */
export const newestDate = (now: number): string => [new Date(now).toISOString().slice(0, 10), compatibilityDate].sort()[0] as string;
