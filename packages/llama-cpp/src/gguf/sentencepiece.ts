/** Reads the pieces of a SentencePiece model (tokenizer.model), a protobuf message; other fields are skipped. */
import { VitgraphError } from "@vitgraph/errors";
import { PbfReader } from "pbf";

export interface SentencePiece {
  readonly piece: string;
  readonly score: number;
  /** SentencePiece's number, which llama.cpp uses too: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly type: number;
}

/** @throws VG_MODEL_INVALID */
export function readSentencePieces(bytes: Uint8Array, path: string): readonly SentencePiece[] {
  const pieces: SentencePiece[] = [];
  try {
    new PbfReader(bytes).readFields((field, _, model) => {
      if (field === 1) pieces.push(model.readMessage(readPiece, { piece: "", score: 0, type: 1 }));
    }, undefined);
  } catch (cause) {
    throw invalid(path, cause);
  }
  if (pieces.length === 0) throw invalid(path);
  return pieces;
}

function readPiece(
  field: number,
  piece: { piece: string; score: number; type: number },
  message: PbfReader,
): void {
  if (field === 1) piece.piece = message.readString();
  else if (field === 2) piece.score = message.readFloat();
  else if (field === 3) piece.type = message.readVarint();
}

const invalid = (path: string, cause?: unknown) =>
  new VitgraphError("VG_MODEL_INVALID", `${path} is not a SentencePiece model`, {
    remedy: "copy or download it again",
    cause,
    details: { path },
  });
