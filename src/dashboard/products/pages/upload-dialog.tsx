/** A new deployment of what is dropped or chosen: files, a folder, or a zip archive. */
import { type DragEvent, useState } from "react";
import { type ChosenFile, droppedFiles, UploadButtons } from "../../components/choose-files.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Progress } from "../../components/progress.tsx";
import { count } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { PROJECTS, type Project } from "./api.ts";
import { type Bundle, bundleOf } from "./bundle.ts";
import { deployBundle } from "./upload.ts";

export function UploadDialog({ project, onClose }: { project: Project; onClose(): void }) {
  const [branch, setBranch] = useState(project.production_branch);
  const [bundle, setBundle] = useState<Bundle>();
  const [share, setShare] = useState(0);
  const choose = useAction(async (chosen: readonly ChosenFile[]) => setBundle(await bundleOf(chosen)));
  const deploy = useAction(() => deployBundle(project.name, bundle as Bundle, branch, setShare), {
    stale: [PROJECTS],
    done: (made) => (made.latest_stage.status === "success" ? "Deployed" : "The deployment failed: see its log"),
    onDone: onClose,
  });
  const drop = (event: DragEvent) => {
    event.preventDefault();
    void droppedFiles(event.dataTransfer).then((files) => files.length > 0 && choose.mutate(files));
  };
  return (
    <FormDialog
      title={`Deploy to ${project.name}`}
      submit="Deploy"
      busy={deploy.isPending || choose.isPending}
      ready={bundle !== undefined && branch !== ""}
      error={choose.error ?? deploy.error}
      onSubmit={() => deploy.mutate()}
      onClose={onClose}
    >
      {/* biome-ignore lint/a11y/noStaticElementInteractions: a second way to what the buttons do. */}
      <div
        className="flex flex-col items-center gap-3 rounded-xl border border-dashed border-line p-6 text-center text-sm text-soft"
        onDragOver={(event) => event.preventDefault()}
        onDrop={drop}
      >
        <p>Drop a folder or a zip archive here. At most 1,000 files of 25 MiB; a _worker.js in it runs.</p>
        <div className="flex flex-wrap justify-center gap-2">
          <UploadButtons onFiles={(files) => choose.mutate(files)} />
        </div>
        {bundle && (
          <p className="text-ink">
            {count(bundle.files.length)} files{bundle.parts.size > 0 && ` and ${[...bundle.parts.keys()].join(", ")}`}
          </p>
        )}
      </div>
      <TextField
        label="Branch"
        hint={`${project.production_branch} is production; another name makes a preview.`}
        value={branch}
        onChange={setBranch}
      />
      {deploy.isPending && <Progress label="Uploaded" value={share} />}
    </FormDialog>
  );
}
