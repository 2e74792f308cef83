/** A page of figures: the choice of how far back they go, kept in the address, and the figures once they are there. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Window } from "../platform/graphql.ts";
import { SelectField } from "./form.tsx";
import { Failure, Loading } from "./page.tsx";

const windows = [
  ["24", "Last 24 hours"],
  ["168", "Last 7 days"],
  ["720", "Last 30 days"],
] as const;

const DEFAULT_HOURS = 24;

export interface HoursSearch {
  readonly hours?: number;
}

/** For a route's `validateSearch`: an address may say anything. */
export function hoursSearch(search: Record<string, unknown>): HoursSearch {
  const given = windows.find(([hours]) => Number(hours) === Number(search.hours));
  return given === undefined ? {} : searchOf(Number(given[0]));
}

const searchOf = (hours: number): HoursSearch => (hours === DEFAULT_HOURS ? {} : { hours });

export const hoursIn = ({ hours = DEFAULT_HOURS }: HoursSearch): number => hours;

export function Figures<T>({
  answer,
  hours,
  onChange,
  children,
}: {
  answer: UseQueryResult<{ readonly figures: T; readonly window: Window }>;
  hours: number;
  onChange(search: HoursSearch): void;
  children(figures: T, window: Window): ReactNode;
}) {
  return (
    <div className="flex flex-col gap-4">
      <div className="w-44">
        <SelectField label="Time" value={String(hours)} onChange={(value) => onChange(searchOf(Number(value)))} options={windows} />
      </div>
      {answer.isPending && <Loading />}
      <Failure error={answer.error} retry={() => void answer.refetch()} />
      {answer.data && children(answer.data.figures, answer.data.window)}
    </div>
  );
}
