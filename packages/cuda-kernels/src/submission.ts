/** Whether a submission fits its program. The same for every device, in terms of the program's names. */
import { VitgraphError } from "@vitgraph/errors";
import type { OutputTransfer, Submission } from "./device.js";
import { bufferBytes, DTYPE_BYTES, type Program } from "./program.js";

/** @throws VG_ARGUMENT_INVALID */
export function checkSubmission(program: Program, { counts, inputs, outputs }: Submission): void {
  const { dims } = program;
  if (counts.length !== dims.length) {
    const names = dims.map((dim) => dim.name).join(", ");
    throw invalid(
      `the submission has ${counts.length} counts, and the program ${dims.length} dims`,
      `give one count each for ${names}`,
    );
  }
  for (const [index, { name, capacity }] of dims.entries()) {
    const count = counts[index] as number;
    if (!Number.isInteger(count) || count < 0 || count > capacity) {
      throw invalid(
        `the count of ${name} is ${count}, and its capacity ${capacity}`,
        "use a program with more capacity",
      );
    }
  }
  for (const { bytes, ...place } of inputs)
    checkTransfer(program, { ...place, sizeBytes: bytes.length }, "input");
  for (const range of outputs) checkTransfer(program, range, "output");
}

function checkTransfer(
  program: Program,
  { buffer: index, offsetBytes = 0, sizeBytes }: OutputTransfer,
  role: "input" | "output",
): void {
  const buffer = program.buffers[index];
  if (buffer === undefined) {
    throw invalid(
      `${role} buffer ${index} is not one of the program's ${program.buffers.length}`,
      "use an index into Program.buffers",
    );
  }
  if (buffer.arena !== "io") {
    throw invalid(
      `${role} ${buffer.name} lies in the ${buffer.arena} arena`,
      "transfer to and from io buffers only",
    );
  }
  if (buffer.rowStride !== buffer.columns) {
    throw invalid(
      `${role} ${buffer.name} has strided rows`,
      "transfer through a buffer whose rows lie together",
    );
  }
  const elementBytes = DTYPE_BYTES[buffer.dtype];
  if (!Number.isSafeInteger(offsetBytes) || offsetBytes < 0 || offsetBytes % elementBytes !== 0) {
    throw invalid(
      `a transfer of ${role} ${buffer.name} starts at byte ${offsetBytes}, and its elements have ${elementBytes} bytes`,
      "start at a whole element",
    );
  }
  const roomBytes = bufferBytes(program, buffer);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw invalid(`a transfer of ${role} ${buffer.name} has ${sizeBytes} bytes`, "give a whole number");
  }
  if (offsetBytes + sizeBytes > roomBytes) {
    const from = offsetBytes === 0 ? "" : ` from byte ${offsetBytes} on`;
    throw invalid(
      `${role} ${buffer.name} has ${roomBytes} bytes, and the transfer ${sizeBytes}${from}`,
      "transfer no more than its rows at capacity",
    );
  }
}

function invalid(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy });
}
