/** A bucket's Metrics tab: what it holds, and the requests on it by operation and over time. */
import { createRoute } from "@tanstack/react-router";
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, hoursIn, hoursSearch } from "../../components/figures.tsx";
import { Empty } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, count, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";
import { bucketRoute, useBucket } from "./bucket.tsx";

export const metricsRoute = createRoute({
  getParentRoute: () => bucketRoute,
  path: "metrics",
  validateSearch: hoursSearch,
  component: Metrics,
});

interface Answer {
  readonly actions: readonly {
    readonly sum: { readonly requests: number; readonly responseObjectSize: number };
    readonly dimensions: { readonly actionType: string; readonly actionStatus: string };
  }[];
  readonly times: readonly { readonly sum: { readonly requests: number }; readonly dimensions: Readonly<Record<string, string>> }[];
  readonly stored: readonly {
    readonly max: { readonly objectCount: number; readonly payloadSize: number; readonly uploadCount: number };
  }[];
}

const queryBy = (bucket: TimeBucket): string => `query BucketMetrics($account: String!, $bucket: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      actions: r2OperationsAdaptiveGroups(limit: 1000, orderBy: [sum_requests_DESC], filter: { bucketName: $bucket, datetime_geq: $from, datetime_leq: $to }) {
        sum { requests responseObjectSize }
        dimensions { actionType actionStatus }
      }
      times: r2OperationsAdaptiveGroups(limit: 10000, filter: { bucketName: $bucket, datetime_geq: $from, datetime_leq: $to }) {
        sum { requests }
        dimensions { ${bucket} }
      }
      stored: r2StorageAdaptiveGroups(limit: 1, filter: { bucketName: $bucket, datetime_geq: $from, datetime_leq: $to }) {
        max { objectCount payloadSize uploadCount }
      }
    }
  }
}`;

function Metrics() {
  const { jurisdiction, bucket: name } = useBucket();
  const hours = hoursIn(metricsRoute.useSearch());
  const navigate = metricsRoute.useNavigate();
  const bucket = bucketOf(hours);
  const variables = { bucket: jurisdiction === "default" ? name : `${jurisdiction}_${name}` };
  const metrics = useAnalytics<Answer>("bucket", queryBy(bucket), hours, variables);
  return (
    <Figures answer={metrics} hours={hours} onChange={(search) => void navigate({ search })}>
      {(figures, window) => <Shown figures={figures} window={window} bucket={bucket} />}
    </Figures>
  );
}

function Shown({ figures: { actions, times, stored }, window, bucket }: { figures: Answer; window: Window; bucket: TimeBucket }) {
  const chart = useMemo(() => {
    const axis = bucketsIn(window, bucket);
    return { times: axis, series: [{ label: "Requests", values: byTime(times, bucket, axis)(({ sum }) => sum.requests) }] };
  }, [times, window, bucket]);
  const { objectCount = 0, payloadSize = 0, uploadCount = 0 } = stored[0]?.max ?? {};
  return (
    <>
      <Stats
        items={[
          { label: "Objects", value: count(objectCount) },
          { label: "Size", value: bytes(payloadSize) },
          { label: "Unfinished uploads", value: count(uploadCount) },
          { label: "Requests", value: count(actions.reduce((sum, row) => sum + row.sum.requests, 0)) },
        ]}
      />
      {actions.length === 0 ? (
        <Empty title="No requests in this time">Reads and writes by S3, REST and Workers are counted here by the hour.</Empty>
      ) : (
        <>
          <Chart title="Requests" times={chart.times} series={chart.series} format={count} timeLabel={dateTime} />
          <Table
            label="Requests by operation"
            rows={actions}
            id={({ dimensions }) => `${dimensions.actionType} ${dimensions.actionStatus}`}
            columns={[
              { title: "Operation", cell: ({ dimensions }) => <code>{dimensions.actionType}</code> },
              { title: "Outcome", cell: ({ dimensions }) => outcomes[dimensions.actionStatus] ?? dimensions.actionStatus },
              { title: "Requests", cell: ({ sum }) => count(sum.requests), align: "right" },
              { title: "Sent", cell: ({ sum }) => bytes(sum.responseObjectSize), align: "right", wide: true },
            ]}
          />
        </>
      )}
    </>
  );
}

const outcomes: Readonly<Record<string, string>> = { success: "success", userError: "refused", internalError: "failed" };
