/**
 * Custom domains of projects: host names at which a project's site answers, or a branch of it. A name in one of the account's
 * zones leads where its CNAME record says: to the project, or with a branch's alias before it to that branch; until it has
 * such a record it is pending and answers nothing. A name elsewhere is active: that it leads to this machine is its owner's
 * matter. https://developers.cloudflare.com/pages/configuration/custom-domains/
 */
import { randomUUID } from "node:crypto";
import type { Zones } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { pagesError } from "./errors.ts";
import type { Project } from "./model.ts";
import type { PagesStore } from "./store.ts";

interface Domain {
  readonly id: string;
  readonly name: string;
  readonly project_id: string;
  readonly created_on: number;
}

export interface Domains {
  of(project: Project): Domain[];
  /** Throws `pages.domainNotFound`. */
  require(project: Project, name: string): Domain;
  /** Throws `pages.domainTaken` and `pages.invalidDomain`. */
  add(project: Project, name: string): Promise<Domain>;
  remove(project: Project, name: string): Promise<void>;
  /** The project went, and its domains' rows with it. */
  forget(project: Project): void;
  /** What a host name leads to now; memory only. */
  find(host: string): { readonly project: string; readonly label?: string } | undefined;
  view(domain: Domain): Record<string, unknown>;
}

const NAME = /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])$/;
/** Names that the platform and the real service answer under. */
const RESERVED = /(^|\.)(localhost|cloudflare\.com|cloudflarestorage\.com|r2\.dev|workers\.dev|pages\.dev)$/;
/** Documented number of domains of one project. */
const DOMAINS_MAX = 100;

export async function openDomains({ meta, clock, config }: KernelSlice, store: PagesStore, zones: Zones): Promise<Domains> {
  const byName = new Map<string, Domain>();
  for (const row of await meta.all<Domain & Record<string, never>>("SELECT * FROM pages_domains LIMIT 1000000")) byName.set(row.name, row);
  const of = (project: Project): Domain[] => [...byName.values()].filter(({ project_id }) => project_id === project.id);

  function require(project: Project, name: string): Domain {
    const domain = byName.get(name.toLowerCase());
    if (domain?.project_id !== project.id) throw pagesError("domainNotFound");
    return domain;
  }

  /** The label that a record puts before the project's name; null for none, undefined when it leads elsewhere. */
  function labelIn(address: string, project: string): string | null | undefined {
    for (const suffix of [`${project}.pages.${config.domain}`, `${project}.pages.dev`]) {
      if (address === suffix) return null;
      const label = address.endsWith(`.${suffix}`) ? address.slice(0, -suffix.length - 1) : "";
      if (label !== "" && !label.includes(".")) return label;
    }
    return undefined;
  }

  function find(host: string): { project: string; label?: string } | undefined {
    const domain = byName.get(host);
    const project = domain && store.projectById(domain.project_id);
    if (project === undefined) return undefined;
    if (zones.ofHost(host) === undefined) return { project: project.name };
    const label = labelIn(zones.origin(host)?.address ?? "", project.name);
    return label === undefined ? undefined : { project: project.name, ...(label !== null && { label }) };
  }

  return {
    of,
    require,
    async add(project, given) {
      const name = given.toLowerCase();
      const ours = name === config.domain || name.endsWith(`.${config.domain}`);
      if (!NAME.test(name) || RESERVED.test(name) || ours) throw pagesError("invalidDomain");
      if (zones.ofHost(name) === undefined && name.split(".").length < 3) throw pagesError("apexDomain");
      if (of(project).length >= DOMAINS_MAX) throw pagesError("tooManyDomains");
      const domain: Domain = { id: randomUUID(), name, project_id: project.id, created_on: clock.now() };
      const { changes } = await meta.run(
        "INSERT INTO pages_domains (id, name, project_id, created_on) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        domain.id,
        name,
        project.id,
        domain.created_on,
      );
      if (changes === 0) throw pagesError("domainTaken");
      byName.set(name, domain);
      return domain;
    },
    async remove(project, name) {
      const domain = require(project, name);
      await meta.run("DELETE FROM pages_domains WHERE id = ?", domain.id);
      byName.delete(domain.name);
    },
    forget(project) {
      for (const { name } of of(project)) byName.delete(name);
    },
    find,
    view({ id, name, created_on }) {
      const status = find(name) === undefined ? "pending" : "active";
      const error = status === "pending" && { error_message: "CNAME record not set" };
      return {
        id,
        domain_id: id,
        name,
        status,
        zone_tag: zones.ofHost(name)?.id ?? "",
        certificate_authority: "freehold",
        validation_data: { method: "http", status },
        verification_data: { status, ...error },
        created_on: new Date(created_on).toISOString(),
      };
    },
  };
}
