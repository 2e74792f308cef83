/** One project of Pages: its deployments, with rollback and deletion, a new one by upload, and its deletion. */
import { createRoute, Link, Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Card, Empty, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Deployment, deploymentsPath, isActive, PROJECTS, type Project, projectPath, standing } from "./api.ts";
import { BuildSettings, DeployHooks, PreviewAccess, Repository } from "./builds.tsx";
import { UploadDialog } from "./upload-dialog.tsx";

export const projectRoute = createRoute({ getParentRoute: () => shellRoute, path: "/pages/$project", component: Frame });
export const deploymentsRoute = createRoute({ getParentRoute: () => projectRoute, path: "/", component: Deployments });
export const settingsRoute = createRoute({ getParentRoute: () => projectRoute, path: "settings", component: Settings });

/** Builds go on by themselves. */
const REFRESH_MS = 3_000;

const useName = (): string => projectRoute.useParams().project;
const useProject = () => useRest<Project>(projectPath(useName()), { refetchInterval: REFRESH_MS });

function Frame() {
  const name = useName();
  const project = useProject();
  const [uploading, setUploading] = useState(false);
  const upload = (
    <Button look="primary" onClick={() => setUploading(true)}>
      <Icon name="upload" />
      Create deployment
    </Button>
  );
  const base = `/pages/${encodeURIComponent(name)}`;
  return (
    <Page title={name} lead={project.data?.domains.join(", ")} crumbs={[{ label: "Pages", to: "/pages" }]} actions={project.data && upload}>
      <Failure error={project.error} retry={() => void project.refetch()} />
      <Tabs
        items={[
          { label: "Deployments", to: base, exact: true },
          { label: "Metrics", to: `${base}/metrics` },
          { label: "Settings", to: `${base}/settings` },
        ]}
      />
      <Outlet />
      {uploading && project.data && <UploadDialog project={project.data} onClose={() => setUploading(false)} />}
    </Page>
  );
}

function Deployments() {
  const name = useName();
  const project = useProject();
  const list = useRest<Deployment[]>(deploymentsPath(name), { refetchInterval: REFRESH_MS });
  const live = project.data?.canonical_deployment?.id;
  const rollBack = useAction(({ id }: Deployment) => onAccount(`${deploymentsPath(name)}/${id}/rollback`, { method: "POST" }), {
    stale: [PROJECTS],
    done: (_, { short_id }) => `${short_id} is in production`,
  });
  const remove = useAction(({ id }: Deployment) => onAccount(`${deploymentsPath(name)}/${id}?force=true`, { method: "DELETE" }), {
    stale: [PROJECTS],
    done: "Deployment deleted",
  });
  if (list.data === undefined) return list.error === null ? <Loading /> : <Failure error={list.error} retry={() => void list.refetch()} />;
  if (list.data.length === 0)
    return (
      <Empty title="No deployment yet">
        Upload a folder or a zip archive with the button above
        {project.data?.source && ", or push to the project's repository: Settings has its URL"}.
      </Empty>
    );
  return (
    <>
      <Failure error={rollBack.error ?? remove.error} />
      <Table
        label="Deployments"
        rows={list.data}
        id={({ id }) => id}
        columns={[
          {
            title: "Deployment",
            cell: ({ short_id, url, id }) => (
              <span className="flex items-center gap-2">
                <Link
                  to="/pages/$project/deployments/$deployment"
                  params={{ project: name, deployment: id }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {short_id}
                </Link>
                <a href={url} target="_blank" rel="noreferrer" className="text-soft underline-offset-4 hover:underline">
                  Open
                </a>
              </span>
            ),
          },
          {
            title: "Environment",
            cell: (deployment) => {
              const [word, tone] = standing(deployment);
              return (
                <>
                  {deployment.environment} {deployment.id === live && <Badge tone="good">live</Badge>}
                  {word !== "success" && <Badge tone={tone}>{word}</Badge>}
                </>
              );
            },
          },
          { title: "Branch", cell: ({ deployment_trigger }) => deployment_trigger.metadata.branch },
          { title: "Message", wide: true, cell: ({ deployment_trigger }) => deployment_trigger.metadata.commit_message },
          { title: "Created", wide: true, cell: ({ created_on }) => <span className="text-soft">{dateTime(created_on)}</span> },
        ]}
        actions={(deployment) =>
          deployment.id !== live &&
          !isActive(deployment) && (
            <>
              {deployment.environment === "production" && deployment.latest_stage.status === "success" && (
                <Button look="quiet" onClick={() => rollBack.mutate(deployment)}>
                  Roll back to this
                </Button>
              )}
              <Button look="quiet" onClick={() => remove.mutate(deployment)}>
                Delete
              </Button>
            </>
          )
        }
      />
    </>
  );
}

function Settings() {
  const name = useName();
  const navigate = useNavigate();
  const [deleting, setDeleting] = useState(false);
  const remove = useAction(() => onAccount(projectPath(name), { method: "DELETE" }), {
    stale: [PROJECTS],
    done: "Project deleted",
    onDone: () => navigate({ to: "/pages" }),
  });
  const project = useProject().data;
  return (
    <>
      {project?.source && (
        <>
          <Repository source={project.source} />
          <BuildSettings project={project} />
          <DeployHooks project={project} />
        </>
      )}
      {project && <PreviewAccess project={project} />}
      <Card
        title="Delete the project"
        lead="Its deployments and custom domains go with it."
        actions={
          <Button look="danger" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        }
      >
        {deleting && (
          <ConfirmDialog
            title={`Delete ${name}`}
            word={name}
            submit="Delete"
            busy={remove.isPending}
            error={remove.error}
            onConfirm={() => remove.mutate()}
            onClose={() => setDeleting(false)}
          >
            Every deployment of the project stops answering at once.
          </ConfirmDialog>
        )}
      </Card>
    </>
  );
}
