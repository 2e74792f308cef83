/**
 * Builds deployments, as many at a time as the configuration says, those of one project one after the other, in the order in
 * which they were asked for. The queue is the rows of deployments that are active: a build that a crash has cut off starts
 * again from its beginning. What a build makes becomes visible in one transaction (`deploy.ts`), at its very end.
 */
import type { KernelSlice } from "../../../kernel/product.ts";
import type { Deployer } from "../deploy.ts";
import { pagesError } from "../errors.ts";
import type { Deployment, Project, Run, StageName } from "../model.ts";
import type { PagesStore } from "../store.ts";
import type { BuildLog, BuildLogs } from "./logs.ts";
import type { Commit, Repositories } from "./repositories.ts";
import { advanced, endedRun, newRun } from "./run.ts";
import { BuildFailure, type Steps } from "./steps.ts";

export interface Builder {
  /** Puts a build into the queue. Throws `pages.noBuild`, `pages.buildsMissing` and `pages.tooManyBuilds`. */
  queue(project: Project, branch: string, commit: Commit, trigger: Run["trigger"]): Promise<Deployment>;
  /** Ends a build, or takes it out of the queue. Throws `pages.cancel`. */
  cancel(project: Project, deployment: Deployment): Promise<Deployment>;
  /** Ends the builds of a project that goes. */
  abandon(project: Project): void;
  /** Begins to work, with what was left over. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface Running {
  readonly deployment: Deployment;
  readonly cancel: AbortController;
  done: Promise<void>;
}

interface Parts {
  readonly store: PagesStore;
  readonly deployer: Deployer;
  readonly logs: BuildLogs;
  readonly repositories: Repositories;
  readonly steps: Steps;
}

const CANCELED = Symbol("canceled");
const STOPPING = Symbol("stopping");
const TIMED_OUT = Symbol("timed out");

export function createBuilder(kernel: KernelSlice, { store, deployer, logs, repositories, steps }: Parts): Builder {
  const { clock, config, log } = kernel;
  const running = new Map<string, Running>();
  /** Oldest first. */
  let waiting: Deployment[] = [];
  let stopped = false;

  /** Begins what may begin. */
  function advance(): void {
    for (const deployment of [...waiting]) {
      if (stopped || running.size >= config["pages.builds_at_once"]) return;
      if ([...running.values()].some((one) => one.deployment.projectId === deployment.projectId)) continue;
      waiting = waiting.filter((one) => one !== deployment);
      const one: Running = { deployment, cancel: new AbortController(), done: Promise.resolve() };
      running.set(deployment.id, one);
      one.done = build(one)
        .catch((error: unknown) => log.error("build.failed", { deployment: deployment.id, error }))
        .finally(() => {
          running.delete(deployment.id);
          advance();
        });
    }
  }

  async function build({ deployment, cancel }: Running): Promise<void> {
    const project = store.projectById(deployment.projectId);
    const repository = project?.settings.source && repositories.get(project.settings.source.repository);
    await logs.clear(deployment.id);
    const said = await logs.open(deployment.id);
    let run = deployment.run ?? newRun("ad_hoc", clock.now());
    const stage = async (name: StageName): Promise<void> => {
      run = advanced(run, name, clock.now());
      await store.advance(deployment, run);
    };
    const timeoutS = config["pages.build_timeout_s"];
    const late = setTimeout(() => cancel.abort(TIMED_OUT), timeoutS * 1000);
    try {
      if (project === undefined || repository === undefined)
        throw new BuildFailure("The project is not connected to a repository any more.");
      const form = await steps.run({ project, deployment, repository, log: said, signal: cancel.signal, stage });
      await said.end();
      const finished = await deployer.complete(project, deployment, {
        ...{ run: endedRun(run, "success", clock.now()), status: "success", form },
        say: (line) => said.say(line),
      });
      said.say(finished?.status === "success" ? "Success: Your site was deployed!" : "Failed: an internal error occurred");
      await said.end();
    } catch (error) {
      await ended(deployment, project, run, said, cancel.signal.aborted ? cancel.signal.reason : error);
    } finally {
      clearTimeout(late);
      await said.end();
    }
  }

  /** A build did not come to its end. */
  async function ended(deployment: Deployment, project: Project | undefined, run: Run, said: BuildLog, why: unknown): Promise<void> {
    // It is still active: the next start builds it.
    if (why === STOPPING) return;
    const status = why === CANCELED ? "canceled" : "failure";
    if (why === TIMED_OUT)
      said.say(`Failed: Build exceeded the time limit of ${limitText(config["pages.build_timeout_s"])} and was terminated.`);
    else if (why === CANCELED) said.say("Canceled: the build was ended on request.");
    else if (why instanceof BuildFailure) said.say(why.message);
    else {
      said.say("Failed: an internal error occurred");
      log.error("build.failed", { deployment: deployment.id, error: why });
    }
    await said.end();
    if (project !== undefined) await deployer.complete(project, deployment, { run: endedRun(run, status, clock.now()), status });
  }

  return {
    async queue(project, branch, commit, trigger) {
      if (project.settings.source === undefined) throw pagesError("noBuild");
      if (steps.missing !== undefined) throw pagesError("buildsMissing", steps.missing);
      if (waiting.length >= config["pages.builds_waiting_max"]) throw pagesError("tooManyBuilds");
      const message = Buffer.from(commit.message).subarray(0, MESSAGE_MAX_BYTES).toString("utf8");
      const run = newRun(trigger, clock.now());
      const deployment = await deployer.queue(project, { branch, commit: { hash: commit.hash, message, dirty: false }, run });
      waiting.push(deployment);
      advance();
      return deployment;
    },
    async cancel(project, deployment) {
      const now = running.get(deployment.id);
      if (now !== undefined) {
        now.cancel.abort(CANCELED);
        await now.done;
      } else {
        if (!waiting.some(({ id }) => id === deployment.id)) throw pagesError("cancel");
        waiting = waiting.filter(({ id }) => id !== deployment.id);
        const run = endedRun(deployment.run ?? newRun("ad_hoc", clock.now()), "canceled", clock.now());
        await deployer.complete(project, deployment, { run, status: "canceled" });
      }
      return (await store.deployment(deployment.id)) ?? deployment;
    },
    abandon(project) {
      waiting = waiting.filter(({ projectId }) => projectId !== project.id);
      for (const { deployment, cancel } of running.values()) if (deployment.projectId === project.id) cancel.abort(CANCELED);
    },
    async start() {
      waiting.push(...(await store.active()));
      advance();
    },
    async stop() {
      stopped = true;
      const all = [...running.values()];
      for (const { cancel } of all) cancel.abort(STOPPING);
      await Promise.all(all.map(({ done }) => done));
    },
  };
}

/** Documented. */
const MESSAGE_MAX_BYTES = 384;

const limitText = (seconds: number): string => (seconds % 60 === 0 ? `${seconds / 60} minutes` : `${seconds} seconds`);
