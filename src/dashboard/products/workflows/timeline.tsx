/** Steps one below the other, each with a bar where it lies between the first step's start and the last one's end. */
import { Badge, type Tone } from "../../components/page.tsx";
import { dateTime } from "../../platform/format.ts";
import { type Step, took } from "./api.ts";

const KINDS = { step: "step", rollback: "rollback", sleep: "sleep", waitForEvent: "event", termination: "terminated" } as const;
/** Bars have a width that can be seen. */
const WIDTH_MIN_PERCENT = 0.8;

/** `ended`: when the instance ended; its steps go no further. */
export function Timeline({ steps, ended }: { steps: readonly Step[]; ended: string | null }) {
  const now = ended === null ? Date.now() : Date.parse(ended);
  const timed = steps.filter(({ type }) => type !== "termination");
  const from = Math.min(...timed.map(({ start }) => Date.parse(start)));
  // What is still to come, the end of a sleep, does not stretch the scale.
  const to = Math.max(from + 1, ...timed.map(({ end }) => Math.min(now, end === null ? now : Date.parse(end))));
  return (
    <ol className="flex flex-col divide-y divide-line">
      {steps.map((step, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: steps keep their places
        <li key={i} className="py-3 first:pt-0 last:pb-0">
          {step.type === "termination" ? (
            <p className="text-sm">
              <Badge tone="warn">{KINDS.termination}</Badge> <span className="text-soft">by {step.trigger?.source}</span>
            </p>
          ) : (
            <Row step={step} from={from} to={to} now={now} stopped={ended !== null && isOpen(step)} />
          )}
        </li>
      ))}
    </ol>
  );
}

function Row({ step, from, to, now, stopped }: { step: Step; from: number; to: number; now: number; stopped: boolean }) {
  const { label, tone } = stopped ? ({ label: "stopped", tone: "warn" } as const) : stateOf(step);
  const last = stopped ? new Date(now).toISOString() : isOpen(step) ? null : step.end;
  const start = Date.parse(step.start);
  const end = Math.min(to, Math.max(start, step.end === null || isOpen(step) ? now : Date.parse(step.end)));
  const left = ((start - from) / (to - from)) * 100;
  const width = Math.max(WIDTH_MIN_PERCENT, ((end - start) / (to - from)) * 100);
  const color = tone === "bad" ? "bg-danger" : tone === "plain" || stopped ? "bg-soft" : "bg-accent";
  return (
    <details>
      <summary className="flex cursor-pointer flex-wrap items-center gap-x-3 gap-y-1 text-sm">
        <span className="min-w-0 flex-1 break-words">
          <span className="font-medium">{step.name}</span> <span className="text-soft">{KINDS[step.type]}</span>
        </span>
        <Badge tone={tone}>{label}</Badge>
        <span className="w-16 text-right text-soft tabular-nums">{took(step.start, last)}</span>
        <span aria-hidden="true" className="h-1.5 w-full overflow-hidden rounded bg-raised">
          <span
            className={`block h-full rounded ${color}`}
            style={{ marginLeft: `${Math.min(left, 100 - WIDTH_MIN_PERCENT)}%`, width: `${width}%` }}
          />
        </span>
      </summary>
      <div className="mt-2 flex flex-col gap-2 text-sm">
        <p className="text-soft">
          {dateTime(step.start)}
          {isOpen(step) && !stopped && step.end !== null && `, until ${dateTime(step.end)}`}
          {step.event_type !== undefined && `, event type ${step.event_type}`}
        </p>
        {step.attempts?.map((attempt, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: attempts keep their places
          <p key={i} className="break-words">
            Attempt {i + 1}:{" "}
            {attempt.error === null ? (
              <span className="text-soft">{attempt.success === null ? "running" : `succeeded in ${took(attempt.start, attempt.end)}`}</span>
            ) : (
              <span className="text-danger">{`${attempt.error.name}: ${attempt.error.message}`}</span>
            )}
          </p>
        ))}
        {step.error != null && <p className="text-danger break-words">{`${step.error.name}: ${step.error.message}`}</p>}
        {step.output != null && <pre className="max-h-60 overflow-auto rounded-lg bg-raised px-3 py-2 text-xs">{step.output}</pre>}
      </div>
    </details>
  );
}

const isOpen = (step: Step): boolean => (step.success === undefined ? step.finished !== true : step.success === null);

function stateOf(step: Step): { label: string; tone: Tone } {
  if (step.success === false || step.error != null) return { label: "failed", tone: "bad" };
  if (!isOpen(step)) return { label: "done", tone: "good" };
  if (step.type === "sleep" || step.type === "waitForEvent") return { label: "waiting", tone: "plain" };
  return step.attempts?.at(-1)?.success === false ? { label: "to be retried", tone: "warn" } : { label: "running", tone: "good" };
}
