/** Opens a file of a checkpoint. Rejects anything but a regular file: opening a FIFO would wait for a writer. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";

/**
 * @param code of the error for a path that is not a regular file
 * @throws VG_FILE_UNREADABLE if the file can't be opened
 */
export async function openRegularFile(
  path: string,
  code: "VG_WEIGHTS_INVALID" | "VG_MODEL_INVALID",
  remedy: string,
  verb: "open" | "read" = "open",
): Promise<FileHandle> {
  // Non-blocking, so that a FIFO opens at once and can be rejected; no effect on regular files.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause) => {
    throw toVitgraphError(cause, "VG_FILE_UNREADABLE", `cannot ${verb} ${path}`, remedy);
  });
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new VitgraphError(code, `${path} is not a regular file`, { remedy, details: { path } });
}
