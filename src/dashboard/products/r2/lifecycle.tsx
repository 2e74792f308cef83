/** Rules that delete objects, move them to another class, or give up unfinished uploads after some days. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Badge, Card, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime, duration } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { type BucketRef, bucketPath, jurisdictionHeader, onBucket } from "./api.ts";

type Condition = { readonly type: "Age"; readonly maxAge: number } | { readonly type: "Date"; readonly date: string };

interface Rule {
  readonly id: string;
  readonly enabled: boolean;
  readonly conditions?: { readonly prefix?: string };
  readonly deleteObjectsTransition?: { readonly condition: Condition };
  readonly abortMultipartUploadsTransition?: { readonly condition: Condition };
  readonly storageClassTransitions?: readonly { readonly condition: Condition; readonly storageClass: "InfrequentAccess" }[];
}

const DAY_S = 86_400;

const when = (condition: Condition): string =>
  condition.type === "Age" ? `after ${duration(condition.maxAge)}` : `on ${dateTime(condition.date)}`;

const actionsOf = (rule: Rule): string[] => [
  ...(rule.deleteObjectsTransition ? [`Delete objects ${when(rule.deleteObjectsTransition.condition)}`] : []),
  ...(rule.storageClassTransitions ?? []).map(({ condition }) => `Move to Infrequent Access ${when(condition)}`),
  ...(rule.abortMultipartUploadsTransition ? [`Give up uploads ${when(rule.abortMultipartUploadsTransition.condition)}`] : []),
];

export function LifecycleCard({ bucket }: { bucket: BucketRef }) {
  const path = `${bucketPath(bucket)}/lifecycle`;
  const [adding, setAdding] = useState(false);
  const policy = useRest<{ rules: Rule[] }>(path, { headers: jurisdictionHeader(bucket.jurisdiction) });
  const save = useAction(async (rules: readonly Rule[]) => onBucket(bucket, "/lifecycle", { method: "PUT", body: { rules } }), {
    stale: [path],
    done: "Lifecycle rules saved",
    onDone: () => setAdding(false),
  });
  const rules = policy.data?.rules ?? [];
  return (
    <Card
      title="Object lifecycle rules"
      lead="What happens to objects and unfinished uploads as they get older."
      actions={policy.data && <Button onClick={() => setAdding(true)}>Add rule</Button>}
    >
      {policy.isPending && <Loading rows={1} />}
      <Failure error={policy.error ?? (adding ? undefined : save.error)} />
      {policy.data && rules.length === 0 && <p className="text-sm text-soft">No rules.</p>}
      {rules.length > 0 && (
        <Table
          label="Lifecycle rules"
          rows={rules}
          id={(rule) => rule.id}
          columns={[
            { title: "Rule", cell: ({ id }) => <span className="font-medium">{id}</span> },
            { title: "Prefix", cell: ({ conditions }) => <code>{conditions?.prefix || "all"}</code>, wide: true },
            { title: "Action", cell: (rule) => actionsOf(rule).join("; ") },
            { title: "State", cell: ({ enabled }) => <Badge tone={enabled ? "good" : "plain"}>{enabled ? "on" : "off"}</Badge> },
          ]}
          actions={(rule) => (
            <>
              <Button
                look="quiet"
                disabled={save.isPending}
                onClick={() => save.mutate(rules.map((other) => (other === rule ? { ...rule, enabled: !rule.enabled } : other)))}
              >
                {rule.enabled ? "Turn off" : "Turn on"}
              </Button>
              <Button look="quiet" disabled={save.isPending} onClick={() => save.mutate(rules.filter((other) => other !== rule))}>
                Delete
              </Button>
            </>
          )}
        />
      )}
      {adding && (
        <AddRule
          busy={save.isPending}
          error={save.error}
          onAdd={(rule) => save.mutate([...rules, rule])}
          onClose={() => {
            save.reset();
            setAdding(false);
          }}
        />
      )}
    </Card>
  );
}

function AddRule({ busy, error, onAdd, onClose }: { busy: boolean; error: unknown; onAdd(rule: Rule): void; onClose(): void }) {
  const [id, setId] = useState("");
  const [prefix, setPrefix] = useState("");
  const [remove, setRemove] = useState("");
  const [move, setMove] = useState("");
  const [abort, setAbort] = useState("");
  const valid = (days: string): boolean => /^\d{1,5}$/.test(days);
  const after = (days: string): { condition: Condition } => ({ condition: { type: "Age", maxAge: Number(days) * DAY_S } });
  const given = [remove, move, abort].filter((days) => days !== "");
  const add = () =>
    onAdd({
      id,
      enabled: true,
      conditions: { prefix },
      ...(remove !== "" && { deleteObjectsTransition: after(remove) }),
      ...(move !== "" && { storageClassTransitions: [{ ...after(move), storageClass: "InfrequentAccess" as const }] }),
      ...(abort !== "" && { abortMultipartUploadsTransition: after(abort) }),
    });
  return (
    <FormDialog
      title="Add lifecycle rule"
      submit="Add rule"
      busy={busy}
      ready={id !== "" && given.length > 0 && given.every(valid)}
      error={error}
      onSubmit={add}
      onClose={onClose}
    >
      <TextField label="Name" value={id} onChange={setId} autoFocus />
      <TextField label="Prefix" hint="Empty for all objects." value={prefix} onChange={setPrefix} />
      <TextField label="Delete objects after days" inputMode="numeric" value={remove} onChange={setRemove} />
      <TextField label="Move to Infrequent Access after days" inputMode="numeric" value={move} onChange={setMove} />
      <TextField label="Give up unfinished uploads after days" inputMode="numeric" value={abort} onChange={setAbort} />
    </FormDialog>
  );
}
