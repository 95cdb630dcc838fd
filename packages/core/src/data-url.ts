/** The bytes of a data URL: `data:image/png;base64,iVBOR…`. */
import { VitgraphError } from "@vitgraph/errors";

/** A media type and its parameters are short; the rest is the image. */
const MAX_PREFIX = 200;

/**
 * The bytes of a `data:…;base64,…` URL.
 *
 * @param onBytes called with the size before the content is decoded; may throw
 * @throws VG_MEDIA_UNAVAILABLE if it is not base64; what `onBytes` throws
 */
export function readDataUrl(url: string, onBytes: (bytes: number) => void = () => {}): Uint8Array {
  const comma = url.slice(0, MAX_PREFIX).indexOf(",");
  if (comma < 0 || !/;\s*base64\s*$/i.test(url.slice(0, comma))) throw invalid("it has no ;base64, in it");
  const padding = url.endsWith("==") ? 2 : url.endsWith("=") ? 1 : 0;
  const digits = url.length - comma - 1 - padding;
  const sizeBytes = Math.floor((digits * 3) / 4);
  onBytes(sizeBytes);
  const bytes = Buffer.from(url.slice(comma + 1), "base64");
  // Node skips what is not a digit of base64, and stops at padding. One digit of four encodes no byte.
  if (bytes.length !== sizeBytes || sizeBytes === 0 || digits % 4 === 1)
    throw invalid("its content is not base64");
  return bytes;
}

function invalid(reason: string): VitgraphError {
  return new VitgraphError("VG_MEDIA_UNAVAILABLE", `a data URL cannot be read (${reason})`, {
    remedy: "send data:image/png;base64, followed by the file in base64",
  });
}
