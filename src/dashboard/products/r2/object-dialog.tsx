/** One object: what is known of it, and what can be done with it. */
import { useQuery } from "@tanstack/react-query";
import { Button, ButtonLink } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Icon } from "../../components/icon.tsx";
import { Facts } from "../../components/page.tsx";
import { bytes, count, dateTime, duration } from "../../platform/format.ts";
import { type BucketRef, downloadUrl, type LockCondition, type LockRule, type StoredObject } from "./api.ts";

/** "until 1 March 2026", "for 30 days after the upload". */
export function lockTerm(condition: LockCondition): string {
  if (condition.type === "Indefinite") return "without end";
  if (condition.type === "Date") return `until ${dateTime(condition.date)}`;
  return `for ${duration(condition.maxAgeSeconds)} after the upload`;
}

export function ObjectDialog({
  bucket,
  object,
  lock,
  onClose,
  onDelete,
}: {
  bucket: BucketRef;
  object: StoredObject;
  lock: LockRule | undefined;
  onClose(): void;
  onDelete(): void;
}) {
  const url = useQuery({ queryKey: ["download", bucket, object.key], queryFn: () => downloadUrl(bucket, object.key) });
  return (
    <Dialog title={object.key} onClose={onClose} wide>
      <Facts
        items={[
          ["Key", <Copy key="key" value={object.key} label="the key" />],
          ["Size", `${bytes(object.size)} (${count(object.size)} bytes)`],
          ["Modified", dateTime(object.last_modified)],
          ["Storage class", object.storage_class],
          ["ETag", <code key="etag">{object.etag}</code>],
          lock !== undefined && ["Locked", `by rule “${lock.id}”, ${lockTerm(lock.condition)}`],
          ...Object.entries(object.http_metadata).map(([name, value]) => [headerName(name), value] as const),
          ...Object.entries(object.custom_metadata).map(([name, value]) => [`Metadata: ${name}`, value] as const),
        ]}
      />
      <div className="mt-5 flex flex-wrap justify-end gap-2">
        <Button onClick={onDelete} disabled={lock !== undefined} title={lock && "A bucket lock keeps this object from being deleted"}>
          <Icon name="trash" />
          Delete
        </Button>
        <ButtonLink look="primary" href={url.data} download>
          <Icon name="download" />
          Download
        </ButtonLink>
      </div>
    </Dialog>
  );
}

/** "contentType" as "Content type". */
const headerName = (name: string): string => {
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
};
