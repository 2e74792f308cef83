/** All VPC services: making and deleting them. */
import { useQuery } from "@tanstack/react-query";
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button, IconButton } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog, FormDialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Empty, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useAction } from "../../platform/queries.ts";
import { allPages, onAccount } from "../../platform/rest.ts";
import {
  addressOf,
  isAddress,
  portsOf,
  SERVICES,
  type Service,
  type ServiceForm,
  serviceOf,
  TUNNELS,
  type Tunnel,
  tunnelOf,
} from "./api.ts";
import { sectionRoute } from "./section.tsx";

export const servicesRoute = createRoute({ getParentRoute: () => sectionRoute, path: "/", component: Services });

const useTunnels = () => useQuery({ queryKey: [TUNNELS], queryFn: () => allPages<Tunnel>(TUNNELS) });

function Services() {
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Service>();
  const list = useQuery({ queryKey: [SERVICES], queryFn: () => allPages<Service>(SERVICES) });
  const tunnels = useTunnels();
  const nameOf = (service: Service) => tunnels.data?.find(({ id }) => id === tunnelOf(service))?.name ?? "deleted";
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create VPC service
    </Button>
  );
  return (
    <>
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title="No VPC service yet" action={create}>
          A VPC service is one host of a private network, reached by a tunnel. A Worker binds it with <code>vpc_services</code>.
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <>
          <div className="flex justify-end">{create}</div>
          <Table
            label="VPC services"
            rows={list.data}
            id={({ service_id }) => service_id}
            columns={[
              { title: "Name", cell: ({ name }) => <span className="font-medium">{name}</span> },
              { title: "Host", cell: (service) => <code className="text-xs">{addressOf(service)}</code> },
              { title: "Ports", cell: portsOf, wide: true },
              { title: "Tunnel", cell: nameOf, wide: true },
              { title: "Service id", cell: ({ service_id, name }) => <Copy value={service_id} label={`the id of ${name}`} /> },
            ]}
            actions={(service) => (
              <IconButton label={`Delete ${service.name}`} onClick={() => setDeleting(service)}>
                <Icon name="trash" />
              </IconButton>
            )}
          />
        </>
      )}
      {creating && <CreateService tunnels={tunnels.data ?? []} onClose={() => setCreating(false)} />}
      {deleting && <DeleteService service={deleting} onClose={() => setDeleting(undefined)} />}
    </>
  );
}

function CreateService({ tunnels, onClose }: { tunnels: readonly Tunnel[]; onClose(): void }) {
  const [form, setForm] = useState<ServiceForm>({
    ...{ name: "", tunnel: tunnels[0]?.id ?? "", host: "" },
    ...{ ports: "default", httpPort: "", httpsPort: "", resolver: "tunnel", resolverIp: "" },
  });
  const set = (member: keyof ServiceForm) => (value: string) => setForm({ ...form, [member]: value });
  const create = useAction(() => onAccount(SERVICES, { method: "POST", body: serviceOf(form) }), {
    stale: [SERVICES],
    done: `VPC service ${form.name} created`,
    onDone: onClose,
  });
  return (
    <FormDialog
      title="Create a VPC service"
      submit="Create service"
      busy={create.isPending}
      ready={form.name !== "" && form.host !== "" && form.tunnel !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Service name" value={form.name} onChange={set("name")} autoFocus />
      <SelectField
        label="Tunnel"
        hint={tunnels.length === 0 && "There is none yet: make one under Tunnels first."}
        value={form.tunnel}
        onChange={set("tunnel")}
        options={tunnels.map(({ id, name }) => [id, name] as const)}
      />
      <TextField
        label="Host or IP address"
        hint="As the machine with the connector knows it: localhost, internal-api.company.local, 10.0.1.50."
        value={form.host}
        onChange={set("host")}
      />
      <SelectField
        label="Ports"
        value={form.ports}
        onChange={set("ports")}
        options={[
          ["default", "Use default ports: HTTP 80, HTTPS 443"],
          ["own", "Provide port values"],
        ]}
      />
      {form.ports === "own" && (
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField label="HTTP port" inputMode="numeric" value={form.httpPort} onChange={set("httpPort")} />
          <TextField label="HTTPS port" inputMode="numeric" value={form.httpsPort} onChange={set("httpsPort")} />
        </div>
      )}
      {!isAddress(form.host) && (
        <SelectField
          label="DNS resolver"
          value={form.resolver}
          onChange={set("resolver")}
          options={[
            ["tunnel", "Use tunnel as resolver"],
            ["own", "Custom resolver"],
          ]}
        />
      )}
      {!isAddress(form.host) && form.resolver === "own" && (
        <TextField label="Resolver IP" hint="Several with commas between them." value={form.resolverIp} onChange={set("resolverIp")} />
      )}
    </FormDialog>
  );
}

function DeleteService({ service: { service_id, name }, onClose }: { service: Service; onClose(): void }) {
  const remove = useAction(() => onAccount(`${SERVICES}/${service_id}`, { method: "DELETE" }), {
    stale: [SERVICES],
    done: `VPC service ${name} deleted`,
    onDone: onClose,
  });
  return (
    <ConfirmDialog
      title={`Delete ${name}`}
      word={name}
      submit="Delete service"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      Workers that bind it do not reach it any more.
    </ConfirmDialog>
  );
}
