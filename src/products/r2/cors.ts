/**
 * CORS of a bucket: the rules as REST stores them, their checks, and which headers a rule puts on an answer
 * (docs/r2/buckets/cors). The same rules serve the S3 door and public access.
 */
import { z } from "zod";
import type { S3CorsRule } from "../../protocols/s3/index.ts";
import { r2Error } from "./errors.ts";

const METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD"] as const;
const MAX_AGE_S = 86_400;
const RULES_MAX = 100;

export const corsRuleSchema = z.object({
  id: z.string().max(255).optional(),
  allowed: z.object({
    origins: z.array(z.string()).min(1),
    methods: z.array(z.enum(METHODS)).min(1),
    headers: z.array(z.string()).optional(),
  }),
  exposeHeaders: z.array(z.string()).optional(),
  maxAgeSeconds: z.number().int().nonnegative().optional(),
});

export type CorsRule = z.infer<typeof corsRuleSchema>;

export const corsSchema = z.object({ rules: z.array(corsRuleSchema).max(RULES_MAX) });

/** Throws `r2.invalidConfiguration` for what the schema cannot say. */
export function checkCorsRules(rules: readonly CorsRule[]): void {
  const invalid = (message: string) => r2Error("invalidConfiguration", message);
  if (rules.length > RULES_MAX) throw invalid(`A CORS policy has at most ${RULES_MAX} rules.`);
  for (const rule of rules) {
    for (const origin of rule.allowed.origins) {
      // An origin is scheme, host and port: a path would never match what browsers send.
      if (origin !== "*" && !/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/i.test(origin)) throw invalid(`The origin "${origin}" is not valid.`);
      if (origin !== "*" && origin.split("*").length > 2) throw invalid(`The origin "${origin}" has more than one "*".`);
    }
    for (const method of rule.allowed.methods) {
      if (!METHODS.includes(method)) throw invalid(`The method "${method}" is not one of ${METHODS.join(", ")}.`);
    }
    for (const name of [...(rule.allowed.headers ?? []), ...(rule.exposeHeaders ?? [])]) {
      if (name.trim() === "") throw invalid("A header name must not be empty.");
    }
    if ((rule.maxAgeSeconds ?? 0) > MAX_AGE_S) throw invalid(`maxAgeSeconds must be at most ${MAX_AGE_S}.`);
  }
}

export const fromS3Rule = (rule: S3CorsRule): CorsRule => ({
  ...(rule.id !== undefined && { id: rule.id }),
  allowed: {
    origins: [...rule.origins],
    methods: rule.methods as CorsRule["allowed"]["methods"],
    ...(rule.headers.length > 0 && { headers: [...rule.headers] }),
  },
  ...(rule.exposeHeaders.length > 0 && { exposeHeaders: [...rule.exposeHeaders] }),
  ...(rule.maxAgeSeconds !== undefined && { maxAgeSeconds: rule.maxAgeSeconds }),
});

const matches = (pattern: string, text: string): boolean => {
  const star = pattern.indexOf("*");
  if (star === -1) return pattern === text;
  const [head, tail] = [pattern.slice(0, star), pattern.slice(star + 1)];
  return text.length >= head.length + tail.length && text.startsWith(head) && text.endsWith(tail);
};

function findRule(rules: readonly CorsRule[], origin: string, method: string, headers: readonly string[]): CorsRule | undefined {
  return rules.find(
    ({ allowed }) =>
      allowed.origins.some((one) => matches(one, origin)) &&
      allowed.methods.some((one) => one === method) &&
      headers.every((name) => (allowed.headers ?? []).some((one) => matches(one.toLowerCase(), name))),
  );
}

const origins = (rule: CorsRule, origin: string): Record<string, string> => ({
  "access-control-allow-origin": rule.allowed.origins.includes("*") ? "*" : origin,
  vary: "Origin",
});

/** Headers for an ordinary request from that origin; none when no rule fits. */
export function corsHeaders(rules: readonly CorsRule[], origin: string, method: string): Record<string, string> {
  const rule = findRule(rules, origin, method, []);
  if (rule === undefined) return {};
  return {
    ...origins(rule, origin),
    ...(rule.exposeHeaders && rule.exposeHeaders.length > 0 && { "access-control-expose-headers": rule.exposeHeaders.join(", ") }),
  };
}

/** Headers that answer a preflight, or undefined when no rule allows what it asks for. */
export function preflightHeaders(
  rules: readonly CorsRule[],
  origin: string,
  method: string,
  requested: string | undefined,
): Record<string, string> | undefined {
  const headers = (requested ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  const rule = findRule(rules, origin, method, headers);
  if (rule === undefined) return undefined;
  return {
    ...origins(rule, origin),
    "access-control-allow-methods": rule.allowed.methods.join(", "),
    ...(headers.length > 0 && { "access-control-allow-headers": headers.join(", ") }),
    ...(rule.exposeHeaders && rule.exposeHeaders.length > 0 && { "access-control-expose-headers": rule.exposeHeaders.join(", ") }),
    ...(rule.maxAgeSeconds !== undefined && { "access-control-max-age": String(rule.maxAgeSeconds) }),
  };
}
