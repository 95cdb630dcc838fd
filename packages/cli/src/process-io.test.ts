import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import { PassThrough, Readable } from "node:stream";
import tty from "node:tty";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { main } from "./cli.js";
import { createProcessIo, type ProcessLike } from "./process-io.js";

/** A process that gets its signals from the test. */
function fakeProcess(streams: Partial<Pick<ProcessLike, "stdin" | "stdout" | "stderr">> = {}) {
  const listeners = new Map<string, (() => void)[]>();
  const stderr = new PassThrough();
  const host: ProcessLike = {
    stdin: Readable.from([]),
    stdout: new PassThrough(),
    stderr,
    on: (signal, listener) => listeners.set(signal, [...(listeners.get(signal) ?? []), listener]),
    off: (signal, listener) =>
      listeners.set(
        signal,
        (listeners.get(signal) ?? []).filter((other) => other !== listener),
      ),
    ...streams,
  };
  const send = (signal: string) => {
    for (const listener of listeners.get(signal) ?? []) listener();
  };
  return {
    host,
    send,
    listenerCount: () => [...listeners.values()].flat().length,
    err: () => String(stderr.read() ?? ""),
  };
}

/** A pipe that its reader has closed. */
async function brokenPipe() {
  const reader = spawn("sh", ["-c", "exec <&-; echo closed; sleep 60"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  await once(reader.stdout, "data");
  onTestFinished(() => {
    reader.kill();
  });
  return reader.stdin;
}

/** Until the errors of all writes have arrived. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

describe("a reader that goes away is no error", () => {
  test("of stdout", async () => {
    const { host, err } = fakeProcess({ stdout: await brokenPipe() });
    expect(await main(["config", "schema"], createProcessIo(host))).toBe(0);
    await settled();
    expect({ exitCode: host.exitCode, err: err() }).toEqual({ exitCode: undefined, err: "" });
  });

  test("of stderr", async () => {
    const { host } = fakeProcess({ stderr: await brokenPipe() });
    const io = createProcessIo(host);
    io.stderr("a note\n");
    await settled();
    io.stderr("another\n");
    await settled();
    expect(host.exitCode).toBeUndefined();
  });
});

test.runIf(existsSync("/dev/full"))(
  "a full disk behind stdout is an error, even after the command",
  async () => {
    const { host, err } = fakeProcess({ stdout: createWriteStream("/dev/full") });
    await main(["config", "schema"], createProcessIo(host));
    // The system's write ends when it ends.
    await expect.poll(() => host.exitCode).toBe(1);
    expect(err()).toMatch(
      /^error: cannot write to stdout \(ENOSPC: .*\): check the disk or device behind it\n$/,
    );
  },
);

describe("a terminal", () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 42 });
  test("is known by stderr, whatever stdout is", () => {
    expect(createProcessIo(fakeProcess({ stderr: terminal }).host).terminalColumns).toBe(42);
    expect(createProcessIo(fakeProcess({ stdout: terminal }).host).terminalColumns).toBeUndefined();
  });

  test("alone shows colours", () => {
    expect(createProcessIo(fakeProcess().host).style("red", "error:")).toBe("error:");
    const io = createProcessIo(fakeProcess({ stdout: terminal }).host);
    expect([io.style("red", "a"), io.style("red", "a", "stdout")]).toEqual(["a", "\x1b[31ma\x1b[39m"]);
  });

  test("shows none with NO_COLOR; a pipe shows them with FORCE_COLOR", () => {
    const colors = Object.assign(new PassThrough(), {
      isTTY: true,
      getColorDepth: tty.WriteStream.prototype.getColorDepth,
    });
    const onTerminal = createProcessIo(fakeProcess({ stderr: colors }).host);
    const onPipe = createProcessIo(fakeProcess().host);
    vi.stubEnv("NO_COLOR", "1");
    expect(onTerminal.style("red", "a")).toBe("a");
    vi.stubEnv("NO_COLOR", undefined);
    vi.stubEnv("FORCE_COLOR", "1");
    expect(onPipe.style("red", "a")).toBe("\x1b[31ma\x1b[39m");
    vi.unstubAllEnvs();
  });
});

test("an interrupt calls the last function that is registered, and each once", () => {
  const { host, send, listenerCount } = fakeProcess();
  const io = createProcessIo(host);
  const called: string[] = [];
  using _outer = io.onInterrupt(() => called.push("outer"));
  {
    using _disposed = io.onInterrupt(() => called.push("disposed"));
  }
  using _inner = io.onInterrupt(() => called.push("inner"));
  for (const _ of [1, 2, 3]) send("SIGINT");
  expect(called).toEqual(["inner", "outer"]);
  expect(listenerCount()).toBe(0);
});

test("an interrupt is the command's until it is disposed, and once only", () => {
  const { host, send, listenerCount } = fakeProcess();
  const io = createProcessIo(host);
  let stops = 0;
  {
    using _ = io.onInterrupt(() => stops++);
    send("SIGINT");
    expect({ stops, listeners: listenerCount() }).toEqual({ stops: 1, listeners: 0 });
  }
  {
    using _ = io.onInterrupt(() => stops++);
    expect(listenerCount()).toBe(2);
  }
  expect({ stops, listeners: listenerCount() }).toEqual({ stops: 1, listeners: 0 });
});
