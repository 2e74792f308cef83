/** A value that people carry elsewhere: an id, a URL, a command. */
import { useState } from "react";
import { IconButton } from "./button.tsx";
import { Icon } from "./icon.tsx";

const SHOWN_MS = 1500;

export function Copy({ value, label }: { value: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN_MS);
  };
  return (
    <span className="inline-flex max-w-full items-center gap-1">
      <code className="min-w-0 rounded bg-raised px-1.5 py-0.5 font-mono text-[0.85em] break-all">{value}</code>
      {/* Without TLS a browser gives pages no clipboard, except on this machine's own names. */}
      {navigator.clipboard !== undefined && (
        <IconButton label={copied ? "Copied" : `Copy ${label}`} onClick={() => void copy()} className="size-7">
          {copied ? <Icon name="check" /> : <Icon name="copy" />}
        </IconButton>
      )}
    </span>
  );
}
