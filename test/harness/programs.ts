/** Programs of the system that some tests drive besides Node's: why they cannot run here, or false. */
import { spawnSync } from "node:child_process";

const missing = (program: string): string | false => spawnSync(program, ["--version"]).error !== undefined && `${program} is not installed`;

/** For `test(…, { skip: noCurl })`. */
export const noCurl = missing("curl");
/** For `test(…, { skip: noOpenssl })`. */
export const noOpenssl = missing("openssl");
/** For `test(…, { skip: noBubblewrap })`. */
export const noBubblewrap = missing("bwrap");
/** For `test(…, { skip: noHugo })`. */
export const noHugo = missing("hugo");
/** Why nothing can be installed from the npm registry, or false. */
export const missingRegistry = (): string | false =>
  spawnSync("npm", ["ping", "--fetch-retries=0", "--fetch-timeout=10000"], { stdio: "ignore" }).status !== 0 &&
  "the npm registry does not answer";
