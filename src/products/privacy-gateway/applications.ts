/** The applications that this relay serves: who may be reached through it is the operator's decision, made in the configuration. */

/** Gateway URL by the application's name, the first label of its host. */
export type Applications = ReadonlyMap<string, URL>;

/**
 * Lines `application=URL of its gateway`, as `privacy_gateway.applications` has them: the configuration has checked their form.
 *
 * @throws Error for a name that comes twice.
 */
export function parseApplications(lines: readonly string[]): Applications {
  const applications = new Map<string, URL>();
  for (const line of lines) {
    const at = line.indexOf("=");
    const name = line.slice(0, at);
    if (applications.has(name)) throw new Error(`privacy_gateway.applications names ${name} twice`);
    applications.set(name, new URL(line.slice(at + 1)));
  }
  return applications;
}
