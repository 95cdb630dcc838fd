/** Copies large arrays in chunks, yielding the JavaScript thread to other callers in between. */
import { VitgraphError } from "@vitgraph/errors";
import { nextTurn } from "../next-turn.js";

/** Copying this many bytes to newly mapped pages takes about half a millisecond. */
const PART_BYTES = 2 ** 20;

/** @throws VG_ITEM_INVALID if the source is transferred or shrunk meanwhile */
export async function copyBytes(source: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const { byteLength } = source;
  // Not zeroed: every byte is written below.
  const copy = new Uint8Array(Buffer.allocUnsafeSlow(byteLength).buffer as ArrayBuffer);
  for (let at = 0; at < byteLength; at += PART_BYTES) {
    if (at > 0) await nextTurn();
    if (source.byteLength !== byteLength) {
      throw new VitgraphError(
        "VG_ITEM_INVALID",
        "an item's memory was transferred or shrunk while it was copied",
        {
          remedy: "leave it as it is until the call settles",
        },
      );
    }
    copy.set(source.subarray(at, at + PART_BYTES), at);
  }
  return copy;
}
