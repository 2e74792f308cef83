/** Programs of the system that some tests drive besides Node's: why they cannot run here, or false. */
import { spawnSync } from "node:child_process";

const missing = (program: string): string | false => spawnSync(program, ["--version"]).error !== undefined && `${program} is not installed`;

/** For `test(…, { skip: noCurl })`. */
export const noCurl = missing("curl");
/** For `test(…, { skip: noOpenssl })`. */
export const noOpenssl = missing("openssl");
