/** Zaraz in the REST API: what belongs to a zone lies under its settings, not under the account. */
import { useQuery } from "@tanstack/react-query";
import { call } from "../../platform/rest.ts";

export const ZONES = "/zones";

export interface Zone {
  readonly id: string;
  readonly name: string;
}

export interface Tool {
  readonly name: string;
  readonly component: string;
  readonly enabled: boolean;
  readonly defaultPurpose?: string;
  readonly actions?: Readonly<Record<string, object>>;
}

/** The members that pages know; the others go back as they came. */
export interface Config {
  readonly debugKey: string;
  readonly tools: Readonly<Record<string, Tool>>;
  readonly triggers: Readonly<Record<string, { readonly name: string }>>;
  readonly variables: Readonly<Record<string, { readonly name: string; readonly type: string }>>;
}

export type Workflow = "realtime" | "preview";

export interface Version {
  readonly id: number;
  readonly description: string;
  readonly createdAt: string;
}

export const pathOf = (zone: string, part: string): string => `/zones/${zone}/settings/zaraz/${part}`;
/** Every answer about a zone's Zaraz begins so. */
export const allOf = (zone: string): string => pathOf(zone, "");

export const useZaraz = <T>(zone: string, part: string) =>
  useQuery({
    queryKey: [pathOf(zone, part)],
    queryFn: async ({ signal }) => (await call<T>(pathOf(zone, part), { signal })).result,
  });
