/** What the REST operations share: paths, permissions, and how they come by what they are about. */
import type { KernelSlice, RequestContext } from "../../kernel/product.ts";
import type { Answers } from "./answers.ts";
import type { Indexer } from "./indexer.ts";
import { DEFAULT_NAMESPACE, type Instance, type Instances } from "./instances.ts";
import type { Jobs } from "./jobs.ts";
import type { Metrics } from "./metrics.ts";
import type { Searcher } from "./query.ts";
import type { Engine } from "./store/engine.ts";
import type { Tokens } from "./tokens.ts";

export const WRITE = ["AI Search Write"] as const;
export const READ = ["AI Search Read", "AI Search Write"] as const;
export const RUN = ["AI Search Run", "AI Search Read", "AI Search Write"] as const;

export const BASE = "/accounts/:account/ai-search";
export const NAMESPACE = `${BASE}/namespaces/:namespace`;
/** The same operations lie under both: those of the first are about the namespace `default`. */
export const INSTANCE_BASES = [
  { op: "aiSearch.instances", path: `${BASE}/instances` },
  { op: "aiSearch.namespaces.instances", path: `${NAMESPACE}/instances` },
] as const;

export const BODY_MAX = 1024 * 1024;

export interface SearchApi {
  readonly kernel: Pick<KernelSlice, "clock" | "config" | "accountId">;
  readonly instances: Instances;
  readonly tokens: Tokens;
  readonly jobs: Jobs;
  readonly indexer: Indexer;
  readonly engine: Engine;
  readonly searcher: Searcher;
  readonly answers: Answers;
  readonly metrics: Metrics;
  /** Checks a new instance's source and token; rejects with the documented errors. */
  admit(instance: Pick<Instance, "config">): Promise<void>;
  isBucket(name: string): Promise<boolean>;
}

export const param = (context: RequestContext, name: string): string => context.params[name] ?? "";

export const namespaceOf = (context: RequestContext): string => context.params.namespace ?? DEFAULT_NAMESPACE;

export const instanceOf = ({ instances }: SearchApi, context: RequestContext): Instance =>
  instances.require(namespaceOf(context), param(context, "id"));

export const bodyOf = (context: RequestContext): Promise<unknown> => context.json({ parse: (value) => value }, BODY_MAX);
