/** The other end of the connector's socket, for tests: frames out, answers in. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export function frame(message: object, payload: Uint8Array = new Uint8Array()): Buffer {
  const json = Buffer.from(JSON.stringify({ ...message, payload: payload.length }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json, payload]);
}

export interface Answer {
  readonly id?: number;
  readonly path: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly [name: string]: unknown;
}

/** A connection; `next` is the next answer, undefined at the end. */
export async function connectClient(path: string) {
  const socket = connect(path);
  await once(socket, "connect");
  const answers = readAnswers(socket);
  return { socket, next: async () => (await answers.next()).value as Answer };
}

async function* readAnswers(socket: Socket): AsyncGenerator<Answer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32LE(0)) {
      const end = 4 + rest.readUInt32LE(0);
      yield JSON.parse(rest.toString("utf8", 4, end)) as Answer;
      rest = rest.subarray(end);
    }
  }
}

export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await sleep(5);
}
