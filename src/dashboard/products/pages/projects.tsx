/** All projects of Pages, and a new one. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { SelectField, Switch, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { allPages, onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { PRESETS, PROJECTS, type Preset, type Project } from "./api.ts";

export const projectsRoute = createRoute({ getParentRoute: () => shellRoute, path: "/pages", component: Projects });

function Projects() {
  const [creating, setCreating] = useState(false);
  const list = useQuery({ queryKey: [PROJECTS], queryFn: () => allPages<Project>(PROJECTS) });
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create project
    </Button>
  );
  return (
    <Page title="Pages" lead="Static sites with previews, and Functions in front of them." actions={create}>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No project yet">
          Create one here and drop a folder on it, or run <code>wrangler pages deploy DIRECTORY</code>.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Projects"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Name",
              cell: ({ name }) => (
                <Link
                  to="/pages/$project"
                  params={{ project: name }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {name}
                </Link>
              ),
            },
            { title: "Domains", cell: ({ domains }) => domains.join(", ") },
            {
              title: "Last deployment",
              wide: true,
              cell: ({ latest_deployment: latest }) => <span className="text-soft">{latest ? dateTime(latest.created_on) : "none"}</span>,
            },
          ]}
        />
      )}
      {creating && <Create onClose={() => setCreating(false)} />}
    </Page>
  );
}

function Create({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [branch, setBranch] = useState("main");
  const [connected, setConnected] = useState(false);
  const [repository, setRepository] = useState("");
  const [remote, setRemote] = useState("");
  const [command, setCommand] = useState("");
  const [out, setOut] = useState("");
  const presets = useRest<Preset[]>(PRESETS);
  const [framework, setFramework] = useState("");
  const choose = (chosen: string) => {
    setFramework(chosen);
    const preset = presets.data?.find((one) => one.name === chosen);
    setCommand(preset?.build_command ?? "");
    setOut(preset?.destination_dir ?? "");
  };
  const [owner = "", repo_name = ""] = repository.split("/");
  const git = connected && {
    build_config: { build_command: command, destination_dir: out },
    source: { type: "github", config: { owner, repo_name, production_branch: branch, ...(remote !== "" && { clone_url: remote }) } },
  };
  const create = useAction(
    async () => (await onAccount<Project>(PROJECTS, { method: "POST", body: { name, production_branch: branch, ...git } })).result,
    { stale: [PROJECTS], done: "Project created", onDone: (made) => navigate({ to: "/pages/$project", params: { project: made.name } }) },
  );
  return (
    <FormDialog
      title="Create a project"
      submit="Create"
      busy={create.isPending}
      ready={name !== "" && branch !== "" && (!connected || (owner !== "" && repo_name !== ""))}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField
        label="Name"
        hint="A part of its host name: lower-case letters, digits and dashes."
        value={name}
        onChange={setName}
        autoFocus
      />
      <TextField label="Production branch" value={branch} onChange={setBranch} />
      <Switch label="Build it from a Git repository" checked={connected} onChange={setConnected} />
      {connected && (
        <>
          <TextField
            label="Repository"
            hint="owner/name. It is made on this platform, unless it is elsewhere."
            value={repository}
            onChange={setRepository}
          />
          <TextField label="Clone URL" hint="Only where the repository is elsewhere: http or https." value={remote} onChange={setRemote} />
          <SelectField
            label="Framework"
            value={framework}
            onChange={choose}
            options={[["", "None"], ...(presets.data ?? []).map(({ name: preset }) => [preset, preset] as const)]}
          />
          <TextField label="Build command" value={command} onChange={setCommand} />
          <TextField label="Output directory" value={out} onChange={setOut} />
        </>
      )}
    </FormDialog>
  );
}
