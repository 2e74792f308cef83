/** The stages of a build, as rows and the API tell them: one after the other, each with its times. Plain values. */
import type { Run, Stage, StageName } from "../model.ts";

const STAGES: readonly StageName[] = ["queued", "initialize", "clone_repo", "build", "deploy"];

export const newRun = (trigger: Run["trigger"], now: number): Run => ({
  trigger,
  stages: STAGES.map(
    (name): Stage => ({ name, startedOn: name === "queued" ? now : null, endedOn: null, status: name === "queued" ? "active" : "idle" }),
  ),
});

/** The stage is under way; those before it have succeeded. */
export function advanced(run: Run, stage: StageName, now: number): Run {
  const at = STAGES.indexOf(stage);
  return {
    ...run,
    stages: run.stages.map((one, i) => {
      if (i < at) return { ...one, startedOn: one.startedOn ?? now, endedOn: one.endedOn ?? now, status: "success" };
      return i === at
        ? { ...one, startedOn: now, endedOn: null, status: "active" }
        : { ...one, startedOn: null, endedOn: null, status: "idle" };
    }),
  };
}

/** The stage that was under way has ended so, and with it the build. */
export function endedRun(run: Run, status: "success" | "failure" | "canceled", now: number): Run {
  const at = currentStage(run);
  return {
    ...run,
    stages: run.stages.map((one) => (one === at ? { ...one, startedOn: one.startedOn ?? now, endedOn: now, status } : one)),
  };
}

/** The newest stage that has begun. */
export const currentStage = ({ stages }: Run): Stage => (stages.findLast(({ status }) => status !== "idle") ?? stages[0]) as Stage;
