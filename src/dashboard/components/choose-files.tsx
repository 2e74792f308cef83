/** Choosing what to upload: files, a folder, or what was dropped on the page. Paths are relative, with "/" between names. */
import { type ChangeEvent, useRef } from "react";
import { Button } from "./button.tsx";
import { Icon } from "./icon.tsx";

export interface ChosenFile {
  readonly path: string;
  readonly file: File;
}

export function UploadButtons({ onFiles }: { onFiles(files: readonly ChosenFile[]): void }) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const chosen = ({ target }: ChangeEvent<HTMLInputElement>) => {
    onFiles([...(target.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
    // The same file can be chosen again.
    target.value = "";
  };
  return (
    <>
      <input ref={files} type="file" multiple hidden aria-label="Files to upload" onChange={chosen} />
      <input ref={folder} type="file" hidden aria-label="Folder to upload" onChange={chosen} {...{ webkitdirectory: "" }} />
      <Button onClick={() => folder.current?.click()}>
        <Icon name="folder" />
        Upload folder
      </Button>
      <Button look="primary" onClick={() => files.current?.click()}>
        <Icon name="upload" />
        Upload files
      </Button>
    </>
  );
}

/** Every file that was dropped, those in folders too. */
export async function droppedFiles(data: DataTransfer): Promise<ChosenFile[]> {
  // Asked for before anything is awaited: afterwards the browser has emptied the list.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return (await Promise.all(entries.map((entry) => filesUnder(entry)))).flat();
}

async function filesUnder(entry: FileSystemEntry): Promise<ChosenFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: ChosenFile[] = [];
  for (;;) {
    // A browser gives a folder's entries in portions, the last of which is empty.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    for (const child of some) found.push(...(await filesUnder(child)));
  }
}
