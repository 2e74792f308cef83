/** How a project is built: its repository, the command, which branches and paths, the cache, and deploy hooks. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { SelectField, Switch, TextField } from "../../components/form.tsx";
import { Card, Facts, Failure } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { type DeployHook, PROJECTS, type Project, projectPath, type Source } from "./api.ts";

const list = (patterns: readonly string[]): string => patterns.join(", ");
const patterns = (text: string): string[] => text.split(/[,\n]/).flatMap((one) => one.trim() || []);

export function Repository({ source }: { source: Source }) {
  const { owner, repo_name, clone_url, webhook_url } = source.config;
  return (
    <Card
      title="Repository"
      lead={
        webhook_url
          ? "Fetched when its forge tells of a push."
          : "On this platform. Push with an API token that has Pages Write as password, and any user name."
      }
    >
      <Facts
        items={[
          ["Name", `${owner}/${repo_name}`],
          ["Clone URL", <Copy key="clone" value={clone_url} label="clone URL" />],
          webhook_url !== undefined && ["Webhook", <Copy key="webhook" value={webhook_url} label="webhook" />],
        ]}
      />
    </Card>
  );
}

export function BuildSettings({ project }: { project: Project }) {
  const [editing, setEditing] = useState(false);
  const { build_config: build, source } = project;
  const purge = useAction(() => onAccount(`${projectPath(project.name)}/purge_build_cache`, { method: "POST" }), {
    done: "Build cache cleared",
  });
  return (
    <Card
      title="Builds"
      actions={
        <>
          {build.build_caching && (
            <Button look="quiet" onClick={() => purge.mutate()}>
              Clear cache
            </Button>
          )}
          <Button onClick={() => setEditing(true)}>Edit</Button>
        </>
      }
    >
      <Failure error={purge.error} />
      <Facts
        items={[
          ["Build command", build.build_command ? <code key="command">{build.build_command}</code> : "none"],
          ["Output directory", <code key="out">{build.destination_dir || "/"}</code>],
          ["Root directory", <code key="root">{build.root_dir || "/"}</code>],
          ["Production", source?.config.production_deployments_enabled ? project.production_branch : "not on push"],
          ["Previews", previews(source)],
          ["Watched paths", source && list(source.config.path_includes) + except(source.config.path_excludes)],
          ["Build cache", build.build_caching ? "on" : "off"],
        ]}
      />
      {editing && <EditBuild project={project} onClose={() => setEditing(false)} />}
    </Card>
  );
}

const except = (excluded: readonly string[]): string => (excluded.length === 0 ? "" : `, except ${list(excluded)}`);

function previews(source: Source | undefined): string {
  if (source === undefined) return "none";
  const { preview_deployment_setting: setting, preview_branch_includes: includes, preview_branch_excludes: excludes } = source.config;
  if (setting === "custom") return list(includes) + except(excludes);
  return setting === "all" ? "all other branches" : "none";
}

function EditBuild({ project, onClose }: { project: Project; onClose(): void }) {
  const { build_config: build, source } = project;
  const rules = source?.config;
  const [command, setCommand] = useState(build.build_command ?? "");
  const [out, setOut] = useState(build.destination_dir ?? "");
  const [root, setRoot] = useState(build.root_dir ?? "");
  const [caching, setCaching] = useState(build.build_caching === true);
  const [production, setProduction] = useState(rules?.production_deployments_enabled ?? true);
  const [setting, setSetting] = useState<string>(rules?.preview_deployment_setting ?? "all");
  const [branches, setBranches] = useState([
    list(rules?.preview_branch_includes ?? []),
    list(rules?.preview_branch_excludes ?? []),
  ] as const);
  const [paths, setPaths] = useState([list(rules?.path_includes ?? []), list(rules?.path_excludes ?? [])] as const);
  const save = useAction(
    () =>
      onAccount(projectPath(project.name), {
        method: "PATCH",
        body: {
          build_config: { build_command: command, destination_dir: out, root_dir: root, build_caching: caching },
          ...(source && {
            source: {
              type: source.type,
              config: {
                ...{ owner: source.config.owner, repo_name: source.config.repo_name, production_deployments_enabled: production },
                ...{ preview_deployment_setting: setting, path_includes: patterns(paths[0]), path_excludes: patterns(paths[1]) },
                ...{ preview_branch_includes: patterns(branches[0]), preview_branch_excludes: patterns(branches[1]) },
              },
            },
          }),
        },
      }),
    { stale: [PROJECTS], done: "Builds changed", onDone: onClose },
  );
  return (
    <FormDialog
      title="Builds"
      submit="Save"
      busy={save.isPending}
      ready
      error={save.error}
      onSubmit={() => save.mutate()}
      onClose={onClose}
    >
      <TextField label="Build command" value={command} onChange={setCommand} autoFocus />
      <TextField label="Output directory" value={out} onChange={setOut} />
      <TextField label="Root directory" hint="Of the project in its repository; empty: all of it." value={root} onChange={setRoot} />
      <Switch label="Keep a build cache" checked={caching} onChange={setCaching} />
      <Switch label="Build the production branch on push" checked={production} onChange={setProduction} />
      <SelectField
        label="Previews"
        value={setting}
        onChange={setSetting}
        options={[
          ["all", "All other branches"],
          ["custom", "Some branches"],
          ["none", "None"],
        ]}
      />
      {setting === "custom" && (
        <>
          <TextField label="Branches to build" value={branches[0]} onChange={(text) => setBranches([text, branches[1]])} />
          <TextField label="Branches to leave out" value={branches[1]} onChange={(text) => setBranches([branches[0], text])} />
        </>
      )}
      <TextField
        label="Paths to watch"
        hint="Separated by commas; * stands for anything."
        value={paths[0]}
        onChange={(text) => setPaths([text, paths[1]])}
      />
      <TextField label="Paths to leave out" value={paths[1]} onChange={(text) => setPaths([paths[0], text])} />
    </FormDialog>
  );
}

export function DeployHooks({ project }: { project: Project }) {
  const path = `${projectPath(project.name)}/deploy_hooks`;
  const hooks = useRest<DeployHook[]>(path);
  const [adding, setAdding] = useState(false);
  const remove = useAction(({ id }: DeployHook) => onAccount(`${path}/${id}`, { method: "DELETE" }), {
    stale: [path],
    done: "Deploy hook deleted",
  });
  return (
    <Card
      title="Deploy hooks"
      lead="Whoever sends a POST to such a URL builds its branch. Keep it as a secret."
      actions={<Button onClick={() => setAdding(true)}>Add</Button>}
    >
      <Failure error={hooks.error ?? remove.error} />
      {hooks.data && hooks.data.length > 0 && (
        <Table
          label="Deploy hooks"
          rows={hooks.data}
          id={({ id }) => id}
          columns={[
            { title: "Name", cell: ({ name }) => name },
            { title: "Branch", cell: ({ branch }) => branch },
            { title: "URL", cell: ({ url }) => <Copy value={url} label="URL" /> },
          ]}
          actions={(hook) => (
            <Button look="quiet" onClick={() => remove.mutate(hook)}>
              Delete
            </Button>
          )}
        />
      )}
      {adding && <AddHook path={path} branch={project.production_branch} onClose={() => setAdding(false)} />}
    </Card>
  );
}

function AddHook({ path, branch: first, onClose }: { path: string; branch: string; onClose(): void }) {
  const [name, setName] = useState("");
  const [branch, setBranch] = useState(first);
  const add = useAction(() => onAccount(path, { method: "POST", body: { name, branch } }), {
    stale: [path],
    done: "Deploy hook added",
    onDone: onClose,
  });
  return (
    <FormDialog
      title="Add a deploy hook"
      submit="Add"
      busy={add.isPending}
      ready={name !== "" && branch !== ""}
      error={add.error}
      onSubmit={() => add.mutate()}
      onClose={onClose}
    >
      <TextField label="Name" value={name} onChange={setName} autoFocus />
      <TextField label="Branch" value={branch} onChange={setBranch} />
    </FormDialog>
  );
}

export function PreviewAccess({ project }: { project: Project }) {
  const change = useAction(
    (members: boolean) =>
      onAccount(projectPath(project.name), { method: "PATCH", body: { preview_access: members ? "members" : "public" } }),
    { stale: [PROJECTS], done: "Access changed" },
  );
  return (
    <Card title="Previews" lead="Visitors of previews sign in with an API token that has Pages Read. Production stays open.">
      <Failure error={change.error} />
      <Switch
        label="Only members see previews"
        checked={project.preview_access === "members"}
        disabled={change.isPending}
        onChange={(members) => change.mutate(members)}
      />
    </Card>
  );
}
