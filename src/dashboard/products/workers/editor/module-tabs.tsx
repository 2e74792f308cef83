/** The modules of a Worker as tabs: which one is open, new ones, and taking one away; the main one stays. */
import { useState } from "react";
import { IconButton } from "../../../components/button.tsx";
import { FormDialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/form.tsx";
import { Icon } from "../../../components/icon.tsx";
import { nameProblem, typeOfName, type WorkerCode } from "./code.ts";

export function ModuleTabs({
  code,
  open,
  onOpen,
  onChange,
}: {
  code: WorkerCode;
  open: string;
  onOpen(name: string): void;
  onChange(code: WorkerCode): void;
}) {
  const [adding, setAdding] = useState(false);
  const remove = (name: string) => {
    onChange({ ...code, modules: code.modules.filter((module) => module.name !== name) });
    if (open === name) onOpen(code.main);
  };
  return (
    <div className="flex items-center gap-1 overflow-x-auto border-b border-line px-2 py-1">
      <div role="tablist" aria-label="Modules" className="flex gap-1">
        {code.modules.map(({ name }) => (
          <span key={name} className={`flex items-center rounded-md ${open === name ? "bg-raised" : ""}`}>
            <button
              type="button"
              role="tab"
              aria-selected={open === name}
              onClick={() => onOpen(name)}
              className="px-2 py-1 font-mono text-xs whitespace-nowrap text-soft hover:text-ink aria-selected:text-ink"
            >
              {name}
            </button>
            {open === name && name !== code.main && (
              <IconButton label={`Remove ${name}`} onClick={() => remove(name)} className="size-6">
                <Icon name="close" className="size-3" />
              </IconButton>
            )}
          </span>
        ))}
      </div>
      <IconButton label="Add a module" onClick={() => setAdding(true)} className="size-7">
        <Icon name="plus" />
      </IconButton>
      {adding && (
        <AddModule
          code={code}
          onClose={() => setAdding(false)}
          onAdd={(name) => {
            onChange({ ...code, modules: [...code.modules, { name, type: typeOfName(name), content: "" }] });
            onOpen(name);
            setAdding(false);
          }}
        />
      )}
    </div>
  );
}

function AddModule({ code, onAdd, onClose }: { code: WorkerCode; onAdd(name: string): void; onClose(): void }) {
  const [name, setName] = useState("");
  const problem = nameProblem(name, code.modules);
  return (
    <FormDialog
      title="Add a module"
      submit="Add"
      busy={false}
      ready={problem === undefined}
      error={null}
      onSubmit={() => onAdd(name)}
      onClose={onClose}
    >
      <TextField
        label="Name"
        placeholder="page.html"
        hint="Its ending says what an import of it gives: .js and .json modules, .html and .txt text."
        error={name === "" ? undefined : problem}
        value={name}
        onChange={setName}
        autoFocus
      />
    </FormDialog>
  );
}
