/** Credentials for the registry: passwords that say what they permit and until when, so that none of them is stored. */
import type { Clock } from "../../kernel/clock.ts";
import { signedTokens } from "../../kernel/signed-token.ts";

export type Permission = "pull" | "push";

export interface Credentials {
  issue(permissions: readonly Permission[], minutes: number): { readonly username: string; readonly password: string };
  /** What the password permits, or undefined when it is none of ours or too old. */
  verify(password: string): readonly Permission[] | undefined;
}

/** `key` is for these credentials alone. */
export function registryCredentials(key: Buffer, clock: Clock): Credentials {
  const tokens = (minutes: number) => signedTokens<{ permissions: readonly Permission[] }>(key, clock, minutes * 60);
  const reader = tokens(0);
  return {
    issue: (permissions, minutes) => ({ username: "v1", password: tokens(minutes).sign({ permissions }) }),
    verify: (password) => reader.verify(password)?.permissions,
  };
}
