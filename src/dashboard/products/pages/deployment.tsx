/** One deployment: where it stands, its stages, and its log, which grows while it is built. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { Button } from "../../components/button.tsx";
import { Badge, Card, Facts, Failure, Loading, Page } from "../../components/page.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Deployment, deploymentsPath, isActive, PROJECTS, type Stage, standing } from "./api.ts";

export const deploymentRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/pages/$project/deployments/$deployment",
  component: DeploymentPage,
});

const REFRESH_MS = 1_000;
const SLOW_MS = 30_000;
const STAGES: Readonly<Record<Stage["name"], string>> = {
  queued: "Queued",
  initialize: "Initialize",
  clone_repo: "Clone",
  build: "Build",
  deploy: "Deploy",
};

interface Log {
  readonly total: number;
  readonly data: readonly { readonly ts: string; readonly line: string }[];
}

function DeploymentPage() {
  const { project, deployment: id } = deploymentRoute.useParams();
  const path = `${deploymentsPath(project)}/${id}`;
  const deployment = useRest<Deployment>(path, { refetchInterval: REFRESH_MS });
  const shown = deployment.data;
  const log = useRest<Log>(`${path}/history/logs`, { refetchInterval: shown === undefined || isActive(shown) ? REFRESH_MS : SLOW_MS });
  const { refetch } = log;
  const ended = shown !== undefined && !isActive(shown);
  // The last lines come with the end.
  useEffect(() => {
    if (ended) void refetch();
  }, [ended, refetch]);
  const crumbs = [
    { label: "Pages", to: "/pages" },
    { label: project, to: `/pages/${encodeURIComponent(project)}` },
  ];
  return (
    <Page title={shown?.short_id ?? id.slice(0, 8)} crumbs={crumbs} actions={shown && <Actions project={project} deployment={shown} />}>
      {deployment.isPending && <Loading />}
      <Failure error={deployment.error} retry={() => void deployment.refetch()} />
      {shown && <Summary deployment={shown} />}
      {shown && shown.deployment_trigger.type !== "ad_hoc" && <Stages stages={shown.stages} />}
      <Card title="Log">
        <Failure error={log.error} retry={() => void log.refetch()} />
        {log.data && <Lines lines={log.data.data} live={!ended} />}
      </Card>
    </Page>
  );
}

function Summary({ deployment }: { deployment: Deployment }) {
  const { url, environment, aliases, created_on, deployment_trigger } = deployment;
  const { branch, commit_hash: hash, commit_message: message } = deployment_trigger.metadata;
  const [word, tone] = standing(deployment);
  const link = (href: string) => (
    <a key={href} href={href} target="_blank" rel="noreferrer" className="text-accent underline-offset-4 hover:underline">
      {href.replace(/^https?:\/\//, "")}
    </a>
  );
  return (
    <Card title="Deployment">
      <Facts
        items={[
          [
            "Status",
            <Badge key="status" tone={tone}>
              {word}
            </Badge>,
          ],
          ["Environment", environment],
          ["Branch", branch],
          hash !== "" && ["Commit", <code key="hash">{hash.slice(0, 10)}</code>],
          message !== "" && ["Message", message],
          word === "success" && ["Address", link(url)],
          word === "success" && aliases !== null && ["Branch's address", aliases.map(link)],
          ["Created", dateTime(created_on)],
        ]}
      />
    </Card>
  );
}

const took = ({ started_on: from, ended_on: to }: Stage): string => {
  if (from === null || to === null) return "";
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
};

function Stages({ stages }: { stages: readonly Stage[] }) {
  const tones = { idle: "plain", active: "warn", success: "good", failure: "bad", canceled: "plain" } as const;
  return (
    <ol aria-label="Stages" className="grid gap-2 sm:grid-cols-5">
      {stages.map((stage) => (
        <li key={stage.name} className="flex items-center justify-between gap-2 rounded-lg border border-line bg-surface px-3 py-2 text-sm">
          <span>{STAGES[stage.name]}</span>
          <span className="flex items-center gap-2 whitespace-nowrap text-soft">
            {took(stage)}
            <Badge tone={tones[stage.status]}>{stage.status}</Badge>
          </span>
        </li>
      ))}
    </ol>
  );
}

function Lines({ lines, live }: { lines: Log["data"]; live: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const count = lines.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is the new lines that are scrolled to.
  useEffect(() => {
    if (live) box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [count, live]);
  if (count === 0)
    return <p className="text-sm text-soft">{live ? "Nothing was said yet." : "Nothing was said, or it was more than a year ago."}</p>;
  return (
    <div
      ref={box}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
      tabIndex={0}
      role="log"
      aria-label="Build log"
      className="max-h-[32rem] overflow-auto rounded-lg bg-raised p-3 font-mono text-xs leading-5"
    >
      {lines.map(({ ts, line }, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines only come after lines.
        <div key={i} className="flex gap-3">
          <time dateTime={ts} className="shrink-0 text-soft select-none">
            {ts.slice(11, 19)}
          </time>
          <span className={`min-w-0 break-words whitespace-pre-wrap ${/^(Error|Failed)\b/.test(line) ? "text-danger" : ""}`}>{line}</span>
        </div>
      ))}
    </div>
  );
}

function Actions({ project, deployment }: { project: string; deployment: Deployment }) {
  const navigate = useNavigate();
  const path = `${deploymentsPath(project)}/${deployment.id}`;
  const retry = useAction(async () => (await onAccount<Deployment>(`${path}/retry`, { method: "POST" })).result, {
    stale: [PROJECTS],
    done: "The build is in the queue",
    onDone: ({ id }) => navigate({ to: "/pages/$project/deployments/$deployment", params: { project, deployment: id } }),
  });
  const cancel = useAction(() => onAccount(`${path}/cancel`, { method: "POST" }), { stale: [PROJECTS], done: "The build was canceled" });
  if (deployment.source === undefined) return null;
  return (
    <>
      <Failure error={retry.error ?? cancel.error} />
      {isActive(deployment) ? (
        <Button look="danger" onClick={() => cancel.mutate()} disabled={cancel.isPending}>
          Cancel build
        </Button>
      ) : (
        <Button onClick={() => retry.mutate()} disabled={retry.isPending}>
          Retry build
        </Button>
      )}
    </>
  );
}
