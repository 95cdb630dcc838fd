import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";

/**
 * Writes a file that appears whole or not at all: others may be watching for its name, or writing it too. A failure
 * leaves nothing behind.
 *
 * A library was tried and not taken: write-file-atomic 7 ignores short writes, so that a disk that fills up leaves a
 * cut-off file under the final name.
 * @throws what the file system does
 */
export async function writeAtomically(
  path: string,
  content: string | Uint8Array | Iterable<string | Uint8Array>,
): Promise<void> {
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    // Flushed before it is renamed, or a crash could leave an empty file under the final name.
    await writeFile(temporary, content, { flush: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}
