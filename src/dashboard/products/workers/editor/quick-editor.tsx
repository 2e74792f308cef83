/** The quick editor: the code of a deployed Worker, tried under its own configuration and bindings, and deployed again. */
import { useQuery } from "@tanstack/react-query";
import { createRoute } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Button } from "../../../components/button.tsx";
import { Failure, Loading } from "../../../components/page.tsx";
import { useAction, useRest } from "../../../platform/queries.ts";
import { onAccount, rawOnAccount } from "../../../platform/rest.ts";
import { SCRIPTS, workerPath } from "../api.ts";
import { workerRoute } from "../worker.tsx";
import { codeOf, uploadForm, type WorkerCode } from "./code.ts";
import { Workbench } from "./workbench.tsx";

export const quickEditorRoute = createRoute({ getParentRoute: () => workerRoute, path: "edit", component: QuickEditor });

interface Settings {
  readonly bindings: readonly { readonly name: string }[];
  readonly compatibility_date?: string;
  readonly compatibility_flags: readonly string[];
  readonly limits?: unknown;
}

function QuickEditor() {
  const { worker } = workerRoute.useParams();
  const path = workerPath(worker);
  const settings = useRest<Settings>(`${path}/settings`);
  const deployed = useQuery({
    queryKey: [`${path}/content`],
    queryFn: async ({ signal }) => codeOf(await rawOnAccount(`${path}/content/v2`, signal)),
    // Never under the hands of somebody who edits it.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const [edited, setEdited] = useState<WorkerCode>();
  const given = settings.data;
  const metadata = useMemo(
    () => ({
      compatibility_date: given?.compatibility_date,
      compatibility_flags: given?.compatibility_flags,
      limits: given?.limits,
      bindings: given?.bindings.map(({ name }) => ({ type: "inherit", name })),
      keep_assets: true,
    }),
    [given],
  );
  const save = useAction(async (code: WorkerCode) => onAccount(`${path}/content`, { method: "PUT", raw: uploadForm(code) }), {
    stale: [SCRIPTS],
    done: `${worker} is deployed`,
    onDone: () => setSaved(code),
  });
  const [saved, setSaved] = useState<WorkerCode>();
  const code = edited ?? deployed.data;
  return (
    <>
      <Failure error={deployed.error ?? settings.error} />
      {(deployed.isPending || settings.isPending) && <Loading />}
      {code && given && (
        <Workbench
          name={worker}
          code={code}
          onChange={setEdited}
          metadata={metadata}
          actions={
            <Button disabled={code === (saved ?? deployed.data)} busy={save.isPending} onClick={() => save.mutate(code)}>
              Save and deploy
            </Button>
          }
        />
      )}
      <Failure error={save.error} />
    </>
  );
}
