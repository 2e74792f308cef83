/** A key that others do not see over one's shoulder: shown on a click. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";

export function Secret({ value, label }: { value: string; label: string }) {
  const [shown, setShown] = useState(false);
  if (shown) return <Copy value={value} label={label} />;
  return (
    <span className="inline-flex items-center gap-1">
      <span aria-hidden="true" className="text-soft">
        ••••••••
      </span>
      <Button look="quiet" aria-label={`Show ${label}`} onClick={() => setShown(true)}>
        Show
      </Button>
    </span>
  );
}
