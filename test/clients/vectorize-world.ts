/** What tests of Vectorize share: waiting until an index has followed up to a mutation. */
import { setTimeout as delay } from "node:timers/promises";
import type { TestPlatform } from "../harness/platform.ts";

export interface IndexInfo {
  readonly dimensions: number;
  readonly vectorCount: number;
  readonly processedUpToMutation: string;
  readonly processedUpToDatetime: string | null;
}

/** The path of the account's indexes in the REST API. */
export const indexesPath = (platform: TestPlatform): string => `/accounts/${platform.ready.account_id}/vectorize/v2/indexes`;

/** Asks for the index's info until its last mutation has taken effect; nothing else may be sent to it meanwhile. */
export async function processed(platform: TestPlatform, index: string, mutation: string | undefined): Promise<IndexInfo> {
  for (;;) {
    const { body } = await platform.rest("GET", `${indexesPath(platform)}/${index}/info`);
    const info = body.result as IndexInfo;
    if (info.processedUpToMutation === mutation) return info;
    await delay(20);
  }
}
