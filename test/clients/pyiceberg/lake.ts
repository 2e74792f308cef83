/** A bucket with its catalog enabled, and Python programs that use it with nothing but the catalog's address and a token. */
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import type { RunResult, TestPlatform } from "../../harness/platform.ts";
import { python } from "../../harness/python.ts";

export interface Lake {
  readonly bucket: string;
  readonly warehouse: string;
  /** Where the Iceberg REST API of the catalog is served here. */
  readonly uri: string;
  /**
   * Runs a program that finds `catalog` (a RestCatalog), `pa` (pyarrow) and `raises(error, text, fn)` defined. Rejects
   * with all output when it fails. Keys of the environment are unusable, so data can only be reached with vended ones.
   */
  py(script: string, options?: { token?: string; code?: number; env?: Record<string, string> }): Promise<RunResult>;
  /** A request to the Iceberg REST API under /v1, with the root token unless another header is given. */
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers have as many shapes as there are operations; tests check them.
  readonly json: any;
}

const PRELUDE = `
import os
import pyarrow as pa
from pyiceberg.catalog.rest import RestCatalog
WAREHOUSE, TOKEN, CATALOG_URI = os.environ["WAREHOUSE"], os.environ["TOKEN"], os.environ["CATALOG_URI"]
BUCKET = os.environ["BUCKET"]
def connect(**more):
    return RestCatalog(name="test", warehouse=WAREHOUSE, uri=CATALOG_URI, token=TOKEN, **more)
def raises(error, text, fn):
    try:
        fn()
    except error as e:
        assert text in str(e), f"{e!r} does not say {text!r}"
        return e
    raise AssertionError(f"{error} was not raised")
catalog = connect()
`;

/** Makes a bucket of that name and enables its catalog. */
export async function lake(platform: TestPlatform, bucket: string): Promise<Lake> {
  const { account_id: account, api_token: token } = platform.ready;
  await platform.s3().send(new CreateBucketCommand({ Bucket: bucket }));
  await platform.sdk().r2DataCatalog.enable(bucket, { account_id: account });
  const uri = platform.host("catalog", { bucket });
  const environment = (t: string): Record<string, string> => ({
    BUCKET: bucket,
    WAREHOUSE: `${account}_${bucket}`,
    CATALOG_URI: uri,
    TOKEN: t,
    AWS_ACCESS_KEY_ID: "unusable",
    AWS_SECRET_ACCESS_KEY: "unusable",
  });
  return {
    bucket,
    warehouse: `${account}_${bucket}`,
    uri,
    py: (script, options = {}) =>
      python(platform, `${PRELUDE}${script}`, {
        env: { ...environment(options.token ?? token), ...options.env },
        ...(options.code !== undefined && { code: options.code }),
      }),
    async request(method, path, body, headers = { authorization: `Bearer ${token}` }) {
      const response = await platform.fetch(`${uri}/v1${path}`, {
        method,
        headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const contentType = response.headers.get("content-type") ?? "";
      return {
        status: response.status,
        contentType,
        text,
        json: contentType.includes("json") && text !== "" ? JSON.parse(text) : undefined,
      };
    },
  };
}
