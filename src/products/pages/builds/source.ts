/**
 * What of a repository a project builds: branches, paths, messages. Only decisions; nothing here reads a repository.
 * https://developers.cloudflare.com/pages/configuration/branch-build-controls/, …/build-watch-paths/
 */
import { z } from "zod";

const name = z
  .string()
  .regex(/^[\w][\w.-]{0,99}$/, "must have letters, digits, dots, dashes and underscores")
  .refine((text) => !/\.git$|\.lock$|\.\./.test(text));
const rules = z.array(z.string().min(1).max(500)).max(100);

export const sourceSchema = z.object({
  type: z.enum(["github", "gitlab"]),
  config: z.object({
    owner: name,
    repo_name: name,
    production_branch: z.string().min(1).max(255).optional(),
    pr_comments_enabled: z.boolean().optional(),
    deployments_enabled: z.boolean().optional(),
    production_deployments_enabled: z.boolean().optional(),
    preview_deployment_setting: z.enum(["all", "none", "custom"]).optional(),
    preview_branch_includes: rules.optional(),
    preview_branch_excludes: rules.optional(),
    path_includes: rules.optional(),
    path_excludes: rules.optional(),
    /** Freehold's own: where the repository is, when it is not on the platform. May bear a user and a password. */
    clone_url: z
      .url({ protocol: /^https?$/ })
      .max(2_000)
      .optional(),
    /** Freehold's own: the secret that webhooks of the repository are signed with. */
    webhook_secret: z.string().max(500).optional(),
  }),
});
export type SourceChange = z.infer<typeof sourceSchema>;

/** Of a project that is connected to a repository. */
export interface Source {
  readonly type: "github" | "gitlab";
  /** Id of the repository. */
  readonly repository: string;
  readonly pr_comments_enabled: boolean;
  readonly deployments_enabled: boolean;
  readonly production_deployments_enabled: boolean;
  readonly preview_deployment_setting: "all" | "none" | "custom";
  readonly preview_branch_includes: readonly string[];
  readonly preview_branch_excludes: readonly string[];
  readonly path_includes: readonly string[];
  readonly path_excludes: readonly string[];
}

const DEFAULTS: Omit<Source, "type" | "repository"> = {
  pr_comments_enabled: true,
  deployments_enabled: true,
  production_deployments_enabled: true,
  preview_deployment_setting: "all",
  preview_branch_includes: ["*"],
  preview_branch_excludes: [],
  path_includes: ["*"],
  path_excludes: [],
};

/** The source after a change; members that are missing stay. */
export function sourceAfter(before: Source | undefined, { type, config }: SourceChange, repository: string): Source {
  const known = Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[];
  const given = known.filter((member) => config[member] !== undefined).map((member) => [member, config[member]]);
  return { ...DEFAULTS, ...before, ...Object.fromEntries(given), type, repository };
}

/** What a push brought, where it is known. */
export interface Changes {
  readonly commits: number;
  readonly paths: readonly string[];
}

/** Past these the paths are not looked at: documented. */
export const PATHS_MAX = 3_000;
export const COMMITS_MAX = 20;

const SKIP = /^\s*\[(ci[ -]skip|skip[ -]ci|cf-pages-skip)\]/i;

/** Why a push makes no build, or undefined when it makes one. */
export function whyNot(
  source: Source,
  push: { readonly branch: string; readonly production: boolean; readonly message: string; readonly changes: Changes | undefined },
): string | undefined {
  if (!source.deployments_enabled) return "automatic deployments are off";
  if (SKIP.test(push.message)) return "the commit's message says so";
  if (push.production && !source.production_deployments_enabled) return "automatic deployments of the production branch are off";
  if (!push.production && !buildsPreview(source, push.branch)) return "the branch is excluded";
  return buildsPaths(source, push.changes) ? undefined : "no watched path has changed";
}

function buildsPreview(source: Source, branch: string): boolean {
  if (source.preview_deployment_setting !== "custom") return source.preview_deployment_setting === "all";
  return !matchesAny(source.preview_branch_excludes, branch) && matchesAny(source.preview_branch_includes, branch);
}

function buildsPaths({ path_includes, path_excludes }: Source, changes: Changes | undefined): boolean {
  if (changes === undefined || changes.paths.length === 0 || changes.paths.length >= PATHS_MAX || changes.commits >= COMMITS_MAX)
    return true;
  return changes.paths.some((path) => !matchesAny(path_excludes, path) && matchesAny(path_includes, path));
}

const matchesAny = (patterns: readonly string[], text: string): boolean => patterns.some((pattern) => matches(pattern, text));

/** A star at the start or end stands for any characters, slashes too; elsewhere it is a star. */
function matches(pattern: string, text: string): boolean {
  const open = pattern.startsWith("*");
  const rest = open ? pattern.slice(1) : pattern;
  const wide = rest.endsWith("*") || pattern === "*";
  const middle = rest.endsWith("*") ? rest.slice(0, -1) : rest;
  if (open && wide) return text.includes(middle);
  if (open) return text.endsWith(middle);
  return wide ? text.startsWith(middle) : text === middle;
}
