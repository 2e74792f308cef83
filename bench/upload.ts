/** Workers for benchmarks, uploaded by REST: what wrangler itself takes is none of the platform's time. */
import { FormData } from "undici";
import type { TestPlatform } from "../test/harness/platform.ts";

export interface Upload {
  /** Module name → source; the first is the main module. */
  readonly modules: Readonly<Record<string, string>>;
  readonly bindings?: readonly object[];
  /** More of the upload's metadata. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Uploads and deploys; the Worker's host, with port. */
export async function uploadWorker(
  platform: TestPlatform,
  name: string,
  { modules, bindings = [], metadata = {} }: Upload,
): Promise<string> {
  const scripts = `/accounts/${platform.ready.account_id}/workers/scripts/${name}`;
  const form = new FormData();
  const [main] = Object.keys(modules);
  form.append("metadata", JSON.stringify({ main_module: main, compatibility_date: "2026-11-01", bindings, ...metadata }));
  for (const [path, source] of Object.entries(modules))
    form.append(path, new Blob([source], { type: "application/javascript+module" }), path);
  const answer = await platform.fetch(`/client/v4${scripts}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: form,
  });
  if (answer.status !== 200) throw new Error(await answer.text());
  await answer.body?.cancel();
  await platform.rest("POST", `${scripts}/subdomain`, { enabled: true });
  return new URL(platform.host("workers", { worker: name, subdomain: "dev" })).host;
}
