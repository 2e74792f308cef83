/**
 * A base image for containers without a registry: the files of Debian packages that are installed on this machine, with all that they
 * depend on, imported into an engine. No network, a few seconds.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";

interface Package {
  readonly name: string;
  readonly provides: readonly string[];
  readonly depends: readonly (readonly string[])[];
}

/** What each Debian system has, as far as containers need it. */
const ESSENTIAL = [
  "base-files",
  "bash",
  "coreutils",
  "dash",
  "findutils",
  "grep",
  "gzip",
  "hostname",
  "libc-bin",
  "ncurses-base",
  "sed",
  "tar",
];
const LINKED = ["bin", "lib", "lib64", "sbin"];
const LEFT_OUT = /^\/usr\/share\/(doc|man|info|locale|lintian|bug|doc-base|i18n)\/|\/__pycache__\//;
const DIRECTORIES = ["/tmp", "/root", "/run", "/var/tmp", "/var/lib", "/usr/local/bin"];
const EXTRA = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/mke2fs.conf"];

/** Why no such image can be made here, or false: for `test(…, { skip })`. */
export function withoutPackages(packages: readonly string[]): string | false {
  if (spawnSync("dpkg-query", ["--version"]).error) return "this is no Debian";
  const known = installed();
  const missing = packages.filter((name) => !known.has(name));
  return missing.length > 0 && `not installed: ${missing.join(", ")}`;
}

/** Imports the image. What lies in `more`, a directory of this machine, comes into its directory `into`. */
export async function importDebian(
  docker: readonly [string, ...string[]],
  tag: string,
  packages: readonly string[],
  more?: { readonly from: string; readonly into: string },
): Promise<void> {
  const known = installed();
  const files = new Set([...EXTRA.filter((path) => existsSync(path)), ...filesOf(closure([...ESSENTIAL, ...packages], known))]);
  for (const link of alternatives()) if (files.has(realpathSync(link))) files.add(link).add(readlinkSync(link));
  for (const path of [...DIRECTORIES, ...LINKED.map((name) => `/${name}`)]) files.add(path);
  const there = [...files].filter((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  const also =
    more === undefined ? [] : ["--recursion", `--transform=s,^\\./,${more.into}/,`, "--directory", more.from, ...inside(more.from)];
  const tar = spawn("tar", ["--create", "--null", "--no-recursion", "--directory", "/", "--files-from", "-", ...also], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [program, ...args] = docker;
  const path = "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  const engine = spawn(program, [...args, "import", "--change", path, "-", tag], { stdio: [tar.stdout, "ignore", "inherit"] });
  // The engine has it now: its end is to be felt by tar.
  tar.stdout.destroy();
  tar.stdin.end(there.map((file) => file.slice(1)).join("\0"));
  const codes = await Promise.all([tar, engine].map(async (child) => (await once(child, "exit"))[0]));
  if (codes.some((code) => code !== 0)) throw new Error(`making ${tag} failed: tar ${codes[0]}, docker ${codes[1]}`);
}

const inside = (directory: string): string[] => readdirSync(directory).map((name) => `./${name}`);

function installed(): Map<string, Package> {
  const fields = ["db:Status-Abbrev", "Package", "Provides", "Pre-Depends", "Depends"];
  const format = `${fields.map((field) => `\${${field}}`).join("\\t")}\\n`;
  const known = new Map<string, Package>();
  for (const line of execFileSync("dpkg-query", ["-W", `-f=${format}`], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 }).split("\n")) {
    const [status = "", name = "", provides = "", preDepends = "", depends = ""] = line.split("\t");
    if (!status.startsWith("ii")) continue;
    const names = (text: string) =>
      text
        .split(",")
        .map((part) => part.trim().replace(/[ :(].*$/, ""))
        .filter(Boolean);
    const alternativesOf = (text: string) =>
      text
        .split(",")
        .filter((part) => part.trim() !== "")
        .map((part) => part.split("|").flatMap(names));
    known.set(name, { name, provides: names(provides), depends: [...alternativesOf(preDepends), ...alternativesOf(depends)] });
  }
  return known;
}

function closure(wanted: readonly string[], known: ReadonlyMap<string, Package>): Set<string> {
  const providers = new Map([...known.values()].flatMap(({ name, provides }) => provides.map((provided) => [provided, name] as const)));
  const found = new Set<string>();
  const open = [...wanted];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const real = known.has(name) ? name : providers.get(name);
    if (real === undefined || found.has(real)) continue;
    found.add(real);
    for (const choices of known.get(real)?.depends ?? []) {
      const choice = choices.find((one) => known.has(one)) ?? choices.find((one) => providers.has(one));
      if (choice !== undefined) open.push(choice);
    }
  }
  return found;
}

/** Paths as they are on a system whose /bin and /lib are links into /usr. */
function filesOf(packages: ReadonlySet<string>): Set<string> {
  const directory = "/var/lib/dpkg/info";
  const files = new Set<string>();
  for (const name of readdirSync(directory)) {
    if (!name.endsWith(".list") || !packages.has(basename(name, ".list").replace(/:.*$/, ""))) continue;
    for (const path of readFileSync(join(directory, name), "utf8").split("\n")) {
      if (path === "" || path === "/." || LEFT_OUT.test(`${path}/`)) continue;
      const [, top = "", rest] = /^\/([^/]+)(\/.*)?$/.exec(path) ?? [];
      if (!LINKED.includes(top)) files.add(path);
      else if (rest !== undefined) files.add(join(realpathSync(`/${top}`), rest));
    }
  }
  return files;
}

/** The links of Debian's alternatives in directories of programs. */
function alternatives(): string[] {
  return ["/usr/bin", "/usr/sbin"].flatMap((directory) =>
    readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isSymbolicLink())
      .map((entry) => join(directory, entry.name))
      .filter((link) => dirname(readlinkSync(link)) === "/etc/alternatives" && existsSync(link)),
  );
}
