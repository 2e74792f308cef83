/** Rules that keep objects from being deleted or overwritten for a time. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { ConfirmDialog, FormDialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Badge, Card, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useAction, useRest } from "../../platform/queries.ts";
import { type BucketRef, bucketPath, jurisdictionHeader, type LockCondition, type LockRule, onBucket } from "./api.ts";
import { lockTerm } from "./object-dialog.tsx";

const DAY_S = 86_400;

export function LocksCard({ bucket }: { bucket: BucketRef }) {
  const path = `${bucketPath(bucket)}/lock`;
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<LockRule>();
  const policy = useRest<{ rules: LockRule[] }>(path, { headers: jurisdictionHeader(bucket.jurisdiction) });
  const save = useAction(async (rules: readonly LockRule[]) => onBucket(bucket, "/lock", { method: "PUT", body: { rules } }), {
    stale: [path],
    done: "Bucket lock rules saved",
    onDone: () => close(),
  });
  const close = () => {
    save.reset();
    setAdding(false);
    setRemoving(undefined);
  };
  const rules = policy.data?.rules ?? [];
  return (
    <Card
      title="Bucket lock rules"
      lead="Objects under a rule can be neither deleted nor overwritten until its time is over."
      actions={policy.data && <Button onClick={() => setAdding(true)}>Add rule</Button>}
    >
      {policy.isPending && <Loading rows={1} />}
      <Failure error={policy.error} />
      {policy.data && rules.length === 0 && <p className="text-sm text-soft">No rules: objects can be deleted at any time.</p>}
      {rules.length > 0 && (
        <Table
          label="Bucket lock rules"
          rows={rules}
          id={(rule) => rule.id}
          columns={[
            { title: "Rule", cell: ({ id }) => <span className="font-medium">{id}</span> },
            { title: "Prefix", cell: ({ prefix }) => <code>{prefix || "all"}</code>, wide: true },
            { title: "Retention", cell: ({ condition }) => lockTerm(condition) },
            { title: "State", cell: ({ enabled }) => <Badge tone={enabled ? "good" : "plain"}>{enabled ? "on" : "off"}</Badge> },
          ]}
          actions={(rule) => (
            <Button look="quiet" onClick={() => setRemoving(rule)}>
              Delete
            </Button>
          )}
        />
      )}
      {adding && <AddLock busy={save.isPending} error={save.error} onAdd={(rule) => save.mutate([...rules, rule])} onClose={close} />}
      {removing && (
        <ConfirmDialog
          title="Delete lock rule"
          word={removing.id}
          submit="Delete rule"
          busy={save.isPending}
          error={save.error}
          onConfirm={() => save.mutate(rules.filter((rule) => rule !== removing))}
          onClose={close}
        >
          Objects that this rule alone protects can then be deleted.
        </ConfirmDialog>
      )}
    </Card>
  );
}

function AddLock({ busy, error, onAdd, onClose }: { busy: boolean; error: unknown; onAdd(rule: LockRule): void; onClose(): void }) {
  const [id, setId] = useState("");
  const [prefix, setPrefix] = useState("");
  const [type, setType] = useState<string>("Age");
  const [days, setDays] = useState("");
  const [date, setDate] = useState("");
  const condition = conditionOf(type, days, date);
  return (
    <FormDialog
      title="Add lock rule"
      submit="Add rule"
      busy={busy}
      ready={id !== "" && condition !== undefined}
      error={error}
      onSubmit={() => condition && onAdd({ id, enabled: true, prefix, condition })}
      onClose={onClose}
    >
      <TextField label="Name" value={id} onChange={setId} autoFocus />
      <TextField label="Prefix" hint="Empty for all objects." value={prefix} onChange={setPrefix} />
      <SelectField
        label="Retention"
        value={type}
        onChange={setType}
        options={[
          ["Age", "Days after the upload"],
          ["Date", "Until a date"],
          ["Indefinite", "Without end"],
        ]}
      />
      {type === "Age" && <TextField label="Days" inputMode="numeric" value={days} onChange={setDays} />}
      {type === "Date" && <TextField label="Date" type="date" value={date} onChange={setDate} />}
    </FormDialog>
  );
}

function conditionOf(type: string, days: string, date: string): LockCondition | undefined {
  if (type === "Indefinite") return { type };
  if (type === "Age") return /^[1-9]\d{0,5}$/.test(days) ? { type, maxAgeSeconds: Number(days) * DAY_S } : undefined;
  return type === "Date" && date !== "" ? { type, date: `${date}T00:00:00Z` } : undefined;
}
