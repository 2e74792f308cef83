/** All instances, and making one: over a bucket, a site, or files that are uploaded. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { allPages, onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { INSTANCES, type Instance, sourceOf, TOKENS, timeOf, toneOf } from "./api.ts";

export const instancesRoute = createRoute({ getParentRoute: () => shellRoute, path: "/ai-search", component: InstanceList });

const REFRESH_MS = 3_000;
const NEW_TOKEN = "new";

function InstanceList() {
  const [creating, setCreating] = useState(false);
  const list = useQuery({
    queryKey: [INSTANCES],
    queryFn: async () => (await allPages<Instance>(INSTANCES)).filter(({ namespace }) => namespace === "default"),
    refetchInterval: REFRESH_MS,
  });
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create instance
    </Button>
  );
  return (
    <Page title="AI Search" lead="Search and answers over your files." actions={list.data && list.data.length > 0 && create}>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No instance yet" action={create}>
          An instance takes in a bucket, a site or uploads, and finds what they say by meaning and by words.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Instances"
          rows={list.data}
          id={({ id }) => id}
          columns={[
            {
              title: "Name",
              cell: ({ id }) => (
                <Link
                  to="/ai-search/$instance"
                  params={{ instance: id }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {id}
                </Link>
              ),
            },
            { title: "Source", cell: (one) => sourceOf(one) },
            { title: "Status", cell: ({ status }) => <Badge tone={toneOf(status)}>{status}</Badge> },
            { title: "Created", cell: ({ created_at }) => <span className="text-soft">{dateTime(timeOf(created_at))}</span>, wide: true },
          ]}
        />
      )}
      {creating && <CreateInstance onClose={() => setCreating(false)} />}
    </Page>
  );
}

/** A token of the account that may be used for indexing, and its registration. */
async function registerToken(): Promise<void> {
  const groups = (await onAccount<{ id: string; name: string }[]>("/tokens/permission_groups")).result;
  const group = groups.find(({ name }) => name === "AI Search Index Engine");
  const resources = { "com.cloudflare.api.account.*": "*" };
  const body = {
    name: "AI Search service token",
    policies: [{ effect: "allow", permission_groups: [{ id: group?.id }], resources }],
  };
  const { id, value } = (await onAccount<{ id: string; value: string }>("/tokens", { method: "POST", body })).result;
  await onAccount(TOKENS, { method: "POST", body: { cf_api_id: id, cf_api_key: value, name: body.name } });
}

function CreateInstance({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [id, setId] = useState("");
  const [type, setType] = useState("r2");
  const [source, setSource] = useState("");
  const [token, setToken] = useState("");
  const tokens = useRest<{ id: string; name: string }[]>(TOKENS);
  const buckets = useRest<{ buckets: { name: string }[] }>("/r2/buckets");
  const chosen = token || (tokens.data?.at(-1)?.id ?? NEW_TOKEN);
  const create = useAction(
    async () => {
      if (type !== "builtin" && chosen === NEW_TOKEN) await registerToken();
      const own = type === "builtin" ? {} : { type, source, ...(chosen !== NEW_TOKEN && { token_id: chosen }) };
      return (await onAccount<Instance>(INSTANCES, { method: "POST", body: { id, ...own } })).result;
    },
    {
      stale: [INSTANCES, TOKENS],
      done: `Instance ${id} created`,
      onDone: () => navigate({ to: "/ai-search/$instance", params: { instance: id } }),
    },
  );
  return (
    <FormDialog
      title="Create an instance"
      submit="Create instance"
      busy={create.isPending}
      ready={id !== "" && (type === "builtin" || source !== "")}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Name" hint="Lower-case letters, digits and hyphens; at most 32." value={id} onChange={setId} autoFocus />
      <SelectField
        label="Data source"
        value={type}
        onChange={(value) => {
          setType(value);
          setSource("");
        }}
        options={[
          ["r2", "R2 bucket"],
          ["web-crawler", "Website"],
          ["builtin", "Uploads"],
        ]}
      />
      {type === "r2" && (
        <SelectField
          label="Bucket"
          value={source}
          onChange={setSource}
          options={[["", "choose"], ...(buckets.data?.buckets ?? []).map(({ name }) => [name, name] as const)]}
        />
      )}
      {type === "web-crawler" && (
        <TextField label="Address" hint="Of a site in a domain of this account, with a sitemap." value={source} onChange={setSource} />
      )}
      {type !== "builtin" && (
        <SelectField
          label="Service API token"
          value={chosen}
          onChange={setToken}
          options={[...(tokens.data ?? []).map(({ id: one, name }) => [one, name] as const), [NEW_TOKEN, "Create a new token"]]}
        />
      )}
    </FormDialog>
  );
}
