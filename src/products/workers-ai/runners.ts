/**
 * Which runner serves which model: lines of the configuration, `MODEL=URL#NAME`, of which the first that fits counts. The
 * service has no models of its own: a model without a runner is refused with a text that names the setting.
 */
import { Agent } from "undici";
import type { Model } from "./catalogue.ts";
import { aiError } from "./errors.ts";
import { openAiRunner } from "./openai-runner.ts";
import type { Operation, Runner } from "./runner.ts";

/** `MODEL=URL#NAME`: a model's name, in which `*` stands for anything; a base URL, its password a key; the server's name for it. */
export function splitModelLine(line: string): { pattern: string; url: URL } {
  const [, pattern, url] = /^([^=\s]+)=(https?:\/\/\S+)$/.exec(line) ?? [];
  if (pattern === undefined || url === undefined || !URL.canParse(url))
    throw new Error(`must have lines like @cf/meta/llama-3.1-8b-instruct=http://127.0.0.1:11434/v1#llama3.1`);
  return { pattern, url: new URL(url) };
}

export interface Runners {
  /** Names that the configuration has in full. */
  readonly names: readonly string[];
  /** What can do the operation for the model. Throws `workersAi.noRunner` with what the operator is to change. */
  require<O extends Operation>(model: Model, operation: O): Runner & Required<Pick<Runner, O>>;
  has(model: Model, operation: Operation): boolean;
  stop(): Promise<void>;
}

export function openRunners(lines: readonly string[]): Runners {
  const agent = new Agent({ connect: { timeout: 10_000 } });
  const entries = lines.map((line) => {
    const { pattern, url } = splitModelLine(line);
    const matcher = new RegExp(`^${pattern.split("*").map(escaped).join(".*")}$`);
    const base = `${url.origin}${url.pathname}`.replace(/\/+$/, "");
    const key = url.password === "" ? undefined : decodeURIComponent(url.password);
    const name = url.hash === "" ? undefined : decodeURIComponent(url.hash.slice(1));
    const runnerOf = (model: Model): Runner => openAiRunner({ base, key, model: name ?? model.name }, agent);
    return { pattern, matcher, runnerOf };
  });

  const find = (model: Model): Runner | undefined => entries.find(({ matcher }) => matcher.test(model.name))?.runnerOf(model);

  return {
    names: entries.map(({ pattern }) => pattern).filter((pattern) => !pattern.includes("*")),
    require(model, operation) {
      const runner = find(model);
      if (runner?.[operation] === undefined)
        throw aiError(
          "noRunner",
          runner === undefined
            ? `Nothing runs the model ${model.name} here: name what does in the setting workers_ai.models`
            : `What runs the model ${model.name} here cannot do ${model.task}`,
        );
      return runner as never;
    },
    has: (model, operation) => find(model)?.[operation] !== undefined,
    stop: () => agent.destroy(),
  };
}

const escaped = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
