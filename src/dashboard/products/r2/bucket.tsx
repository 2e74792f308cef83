/** The frame of one bucket's pages. */
import { createRoute, Outlet } from "@tanstack/react-router";
import { Page, Tabs } from "../../components/page.tsx";
import { shellRoute } from "../../shell/root.tsx";
import type { BucketRef } from "./api.ts";
import { UploadPanel } from "./upload-panel.tsx";

export const bucketRoute = createRoute({ getParentRoute: () => shellRoute, path: "/r2/$jurisdiction/$bucket", component: BucketFrame });

/** The bucket of the address. */
export const useBucket = (): BucketRef => bucketRoute.useParams();

function BucketFrame() {
  const { jurisdiction, bucket } = useBucket();
  const base = `/r2/${jurisdiction}/${encodeURIComponent(bucket)}`;
  return (
    <Page title={bucket} crumbs={[{ label: "R2 object storage", to: "/r2" }]}>
      <Tabs
        items={[
          { label: "Objects", to: base, exact: true },
          { label: "Metrics", to: `${base}/metrics` },
          { label: "Settings", to: `${base}/settings` },
        ]}
      />
      <Outlet />
      <UploadPanel />
    </Page>
  );
}
