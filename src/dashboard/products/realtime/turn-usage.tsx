/** What a TURN key relayed. */
import { useMemo } from "react";
import { Chart } from "../../components/chart.tsx";
import { Figures, type HoursSearch } from "../../components/figures.tsx";
import { Stats } from "../../components/stats.tsx";
import { bytes, dateTime } from "../../platform/format.ts";
import { bucketOf, bucketsIn, byTime, type TimeBucket, useAnalytics, type Window } from "../../platform/graphql.ts";

interface Row {
  readonly sum: { readonly egressBytes: number; readonly ingressBytes: number };
  readonly dimensions: Readonly<Record<string, string>>;
}
interface Answer {
  readonly times: readonly Row[];
}

const queryBy = (bucket: TimeBucket): string => `query Turn($account: String!, $key: String!, $from: Time!, $to: Time!) {
  viewer {
    accounts(filter: { accountTag: $account }) {
      times: callsTurnUsageAdaptiveGroups(limit: 10000, filter: { keyId: $key, datetime_geq: $from, datetime_leq: $to }) {
        sum { egressBytes ingressBytes } dimensions { ${bucket} }
      }
    }
  }
}`;

export function TurnUsage({ keyUid, hours, onChange }: { keyUid: string; hours: number; onChange(search: HoursSearch): void }) {
  const bucket = bucketOf(hours);
  const answer = useAnalytics<Answer>("turn", queryBy(bucket), hours, { key: keyUid });
  return (
    <Figures answer={answer} hours={hours} onChange={onChange}>
      {({ times }, window) => <Shown rows={times} window={window} bucket={bucket} />}
    </Figures>
  );
}

function Shown({ rows, window, bucket }: { rows: readonly Row[]; window: Window; bucket: TimeBucket }) {
  const { times, series } = useMemo(() => {
    const at = bucketsIn(window, bucket);
    const values = byTime(rows, bucket, at);
    const out = values(({ sum }) => sum.egressBytes);
    return {
      times: at,
      series: [
        { label: "To clients", values: out },
        { label: "From clients", values: values(({ sum }) => sum.ingressBytes) },
      ],
    };
  }, [rows, window, bucket]);
  const total = (of: (row: Row) => number): string => bytes(rows.reduce((all, row) => all + of(row), 0));
  return (
    <>
      <Stats
        items={[
          { label: "To clients", value: total(({ sum }) => sum.egressBytes) },
          { label: "From clients", value: total(({ sum }) => sum.ingressBytes) },
        ]}
      />
      <Chart title="Relayed" times={times} series={series} format={bytes} timeLabel={dateTime} />
    </>
  );
}
