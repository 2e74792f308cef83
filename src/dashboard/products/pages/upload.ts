/** A deployment from the browser, in the steps that wrangler takes: which files are missing, those, and then the form. */
import { call, onAccount } from "../../platform/rest.ts";
import { type Deployment, deploymentsPath, projectPath } from "./api.ts";
import { type Bundle, base64, type SiteFile } from "./bundle.ts";

/** Bytes and files of one request. */
const BATCH_MAX_BYTES = 8 * 1024 * 1024;
const BATCH_MAX_FILES = 200;

/** `progress` hears of the share that is done, from 0 to 1. */
export async function deployBundle(
  project: string,
  { files, parts }: Bundle,
  branch: string,
  progress: (share: number) => void,
): Promise<Deployment> {
  const { jwt } = (await onAccount<{ jwt: string }>(`${projectPath(project)}/upload-token`)).result;
  const send = <T>(step: string, body: unknown) =>
    call<T>(`/pages/assets/${step}`, { method: "POST", body, headers: { authorization: `Bearer ${jwt}` } });
  const missing = new Set((await send<string[]>("check-missing", { hashes: files.map(({ hash }) => hash) })).result);
  const wanted = [...new Map(files.filter(({ hash }) => missing.has(hash)).map((file) => [file.hash, file])).values()];
  let sent = 0;
  for (const batch of batches(wanted)) {
    await send(
      "upload",
      batch.map(({ hash, bytes, type }) => ({ key: hash, value: base64(bytes), metadata: { contentType: type }, base64: true })),
    );
    sent += batch.length;
    progress(sent / wanted.length);
  }
  const form = new FormData();
  form.set("manifest", JSON.stringify(Object.fromEntries(files.map(({ path, hash }) => [path, hash]))));
  form.set("branch", branch);
  for (const [name, bytes] of parts) form.set(name, new Blob([bytes]), name);
  return (await onAccount<Deployment>(deploymentsPath(project), { method: "POST", raw: form })).result;
}

function* batches(files: readonly SiteFile[]): Generator<SiteFile[]> {
  let batch: SiteFile[] = [];
  let size = 0;
  for (const file of files) {
    if (batch.length > 0 && (batch.length >= BATCH_MAX_FILES || size + file.bytes.length > BATCH_MAX_BYTES)) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(file);
    size += file.bytes.length;
  }
  if (batch.length > 0) yield batch;
}
