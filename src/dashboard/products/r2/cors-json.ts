/** CORS as people write it, the form of S3 tools, and as the REST API has it. */

export interface CorsRule {
  readonly id?: string;
  readonly allowed: { readonly origins: readonly string[]; readonly methods: readonly string[]; readonly headers?: readonly string[] };
  readonly exposeHeaders?: readonly string[];
  readonly maxAgeSeconds?: number;
}

export interface S3CorsRule {
  readonly ID?: string;
  readonly AllowedOrigins: readonly string[];
  readonly AllowedMethods: readonly string[];
  readonly AllowedHeaders?: readonly string[];
  readonly ExposeHeaders?: readonly string[];
  readonly MaxAgeSeconds?: number;
}

export const EXAMPLE: readonly S3CorsRule[] = [{ AllowedOrigins: ["http://localhost:3000"], AllowedMethods: ["GET"] }];

const KNOWN = ["ID", "AllowedOrigins", "AllowedMethods", "AllowedHeaders", "ExposeHeaders", "MaxAgeSeconds"];

/** Throws an `Error` that says what is wrong with the text. */
export function parseCors(text: string): CorsRule[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new Error(`This is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!Array.isArray(parsed)) throw new Error("A CORS policy is a list of rules: [ { … } ]");
  return parsed.map((rule: unknown, i) => {
    if (typeof rule !== "object" || rule === null) throw new Error(`Rule ${i + 1} is not an object`);
    const unknown = Object.keys(rule).find((name) => !KNOWN.includes(name));
    if (unknown !== undefined) throw new Error(`Rule ${i + 1} has "${unknown}", which is not one of ${KNOWN.join(", ")}`);
    const { ID, AllowedOrigins, AllowedMethods, AllowedHeaders, ExposeHeaders, MaxAgeSeconds } = rule as S3CorsRule;
    if (!Array.isArray(AllowedOrigins) || !Array.isArray(AllowedMethods)) {
      throw new Error(`Rule ${i + 1} needs AllowedOrigins and AllowedMethods, each a list`);
    }
    return {
      ...(ID !== undefined && { id: ID }),
      allowed: { origins: AllowedOrigins, methods: AllowedMethods, ...(AllowedHeaders && { headers: AllowedHeaders }) },
      ...(ExposeHeaders && { exposeHeaders: ExposeHeaders }),
      ...(MaxAgeSeconds !== undefined && { maxAgeSeconds: MaxAgeSeconds }),
    };
  });
}

export const toS3 = (rules: readonly CorsRule[]): S3CorsRule[] =>
  rules.map(({ id, allowed, exposeHeaders, maxAgeSeconds }) => ({
    ...(id !== undefined && { ID: id }),
    AllowedOrigins: allowed.origins,
    AllowedMethods: allowed.methods,
    ...(allowed.headers && { AllowedHeaders: allowed.headers }),
    ...(exposeHeaders && { ExposeHeaders: exposeHeaders }),
    ...(maxAgeSeconds !== undefined && { MaxAgeSeconds: maxAgeSeconds }),
  }));
