/** The first page: what runs, and the addresses that clients need. */

import { useQuery } from "@tanstack/react-query";
import { createRoute } from "@tanstack/react-router";
import { Copy } from "../components/copy.tsx";
import { Badge, Card, Facts, Failure, Loading, Page } from "../components/page.tsx";
import { Table } from "../components/table.tsx";
import { dateTime } from "../platform/format.ts";
import { useSession } from "../platform/queries.ts";
import { call } from "../platform/rest.ts";
import { hostUrl } from "../platform/session.ts";
import { shellRoute } from "./root.tsx";

export const overviewRoute = createRoute({ getParentRoute: () => shellRoute, path: "/", component: Overview });

interface Status {
  readonly started_at: string;
  readonly products: readonly { readonly name: string; readonly status: string; readonly ok: boolean; readonly detail: string }[];
  readonly processes: readonly { readonly label: string }[];
}

function Overview() {
  const session = useSession();
  const status = useQuery({
    queryKey: ["/freehold/status"],
    queryFn: async () => (await call<Status>("/freehold/status")).result,
    refetchInterval: 15_000,
  });
  return (
    <Page title="Overview">
      <Card
        title="Connect"
        lead={
          <>
            Any client works once it is pointed here; <code className="font-mono text-ink">freehold exec -- CMD</code> does that for one
            command.
          </>
        }
      >
        <Facts
          items={[
            ["Account", <Copy key="account" value={session.accountId} label="the account id" />],
            ["API", <Copy key="api" value={`${location.origin}/client/v4`} label="the API's address" />],
            ["S3 endpoint", <Copy key="s3" value={hostUrl(session, "r2")} label="the S3 endpoint" />],
            status.data !== undefined && ["Running since", dateTime(status.data.started_at)],
          ]}
        />
      </Card>
      {status.isPending && <Loading />}
      <Failure error={status.error} retry={() => void status.refetch()} />
      {status.data && (
        <Table
          label="Products"
          rows={status.data.products}
          id={(product) => product.name}
          columns={[
            { title: "Product", cell: ({ name }) => <span className="font-medium">{name}</span> },
            { title: "State", cell: ({ ok }) => <Badge tone={ok ? "good" : "bad"}>{ok ? "well" : "not well"}</Badge> },
            { title: "Maturity", cell: (product) => product.status },
            { title: "Detail", cell: ({ detail }) => <span className="text-soft">{detail}</span>, wide: true },
          ]}
        />
      )}
    </Page>
  );
}
