/** The menu: one entry for each product that has pages, under the headings that people look for them by. */
import type { IconName } from "../components/icon.tsx";

export interface NavigationItem {
  readonly label: string;
  readonly to: string;
  readonly icon: IconName;
}

export const navigation: readonly { readonly heading: string; readonly items: readonly NavigationItem[] }[] = [
  {
    heading: "Compute",
    items: [
      { label: "Workers", to: "/workers", icon: "worker" },
      { label: "Pages", to: "/pages", icon: "file" },
      { label: "Workflows", to: "/workflows", icon: "steps" },
      { label: "Durable Objects", to: "/durable-objects", icon: "object" },
      { label: "Containers", to: "/containers", icon: "container" },
      { label: "Workers VPC", to: "/vpc", icon: "lock" },
      { label: "Observability", to: "/observability", icon: "chart" },
    ],
  },
  {
    heading: "Storage",
    items: [
      { label: "R2 object storage", to: "/r2", icon: "bucket" },
      { label: "KV", to: "/kv", icon: "key" },
      { label: "D1 databases", to: "/d1", icon: "database" },
      { label: "Hyperdrive", to: "/hyperdrive", icon: "database" },
    ],
  },
  { heading: "Data platform", items: [{ label: "Pipelines", to: "/pipelines", icon: "stream" }] },
  { heading: "AI", items: [{ label: "AI Search", to: "/ai-search", icon: "search" }] },
  {
    heading: "Media",
    items: [
      { label: "Stream", to: "/stream", icon: "video" },
      { label: "Realtime", to: "/realtime", icon: "call" },
    ],
  },
  { heading: "Domains", items: [{ label: "Zaraz", to: "/zaraz", icon: "chart" }] },
  { heading: "Messages", items: [{ label: "Queues", to: "/queues", icon: "queue" }] },
];
