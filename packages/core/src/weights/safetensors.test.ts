import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeSafetensors, SafetensorsFile, safetensorsPieces, writeSafetensors } from "./safetensors.js";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  path = join(directory, "a.safetensors");
});
afterEach(() => rm(directory, { recursive: true }));

const floats = Float32Array.of(1, 2, 3, 4, 5, 6);
const tensor = { name: "a", dtype: "F32", shape: [2, 3], bytes: new Uint8Array(floats.buffer) } as const;

/** Writes a file with this header and `dataBytes` bytes of data. */
async function writeWithHeader(header: unknown, dataBytes: number, lengthLie = 0): Promise<void> {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length + lengthLie), true);
  file.set(json, 8);
  await writeFile(path, file);
}

async function openError(): Promise<string> {
  return SafetensorsFile.open(path).then(
    async (file) => {
      await file[Symbol.asyncDispose]();
      return "opened";
    },
    (error: Error) => error.message.replace(path, "FILE"),
  );
}

test("tensors, shapes and metadata are read back as written", async () => {
  await writeSafetensors(path, [tensor, { ...tensor, name: "b", shape: [6] }], { made_by: "test" });
  await using file = await SafetensorsFile.open(path);
  expect(file.metadata).toEqual({ made_by: "test" });
  expect([...file.tensors.keys()]).toEqual(["a", "b"]);
  const { info, bytes } = await file.read("b");
  expect(info).toMatchObject({ dtype: "F32", shape: [6] });
  expect(new Float32Array(bytes.buffer)).toEqual(floats);
});

test("data starts at a multiple of 8, as the format asks", () => {
  const file = encodeSafetensors([tensor]);
  expect((file.length - tensor.bytes.length) % 8).toBe(0);
});

test("a file appears whole: no temporary file is left", async () => {
  await writeSafetensors(path, [tensor]);
  expect(await readdir(directory)).toEqual(["a.safetensors"]);
});

test("if the final rename fails, the temporary file is removed", async () => {
  // A rename cannot replace a directory that is not empty.
  await mkdir(join(path, "inner"), { recursive: true });
  await expect(writeSafetensors(path, [tensor])).rejects.toMatchObject({ code: "VG_FILE_UNWRITABLE" });
  expect(await readdir(directory)).toEqual(["a.safetensors"]);
});

test("a slice is read without the rest", async () => {
  await writeSafetensors(path, [tensor]);
  await using file = await SafetensorsFile.open(path);
  const part = new Uint8Array(8);
  await file.readSlice(file.tensor("a"), 12, part);
  expect(new Float32Array(part.buffer)).toEqual(Float32Array.of(4, 5));
});

describe("damaged files are named with the reason", () => {
  test("missing", async () => {
    expect(await openError()).toMatch(
      /^cannot open FILE \(ENOENT.*\): check that the file exists and can be read$/,
    );
  });

  test("empty", async () => {
    await writeFile(path, "");
    expect(await openError()).toBe(
      "FILE has 0 bytes, too few for a safetensors file: copy or download it again",
    );
  });

  test("a wrong header length", async () => {
    await writeWithHeader({}, 0, 1000);
    expect(await openError()).toBe(
      "FILE gives its header 1002 bytes, but the file has 10: copy or download it again, and check that it is a safetensors file",
    );
  });

  test("a header length of terabytes", async () => {
    await writeFile(path, new Uint8Array([0, 0, 0, 0, 0, 255, 0, 0, 0]));
    expect(await openError()).toMatch(/gives its header \d+ bytes, but the file has 9/);
  });

  test("a header that is not JSON", async () => {
    await writeWithHeader("{", 0);
    expect(await openError()).toBe("FILE has a header that is not JSON: copy or download it again");
  });

  test("cut off within the data", async () => {
    await writeSafetensors(path, [tensor]);
    const { length } = await readFile(path);
    await truncate(path, length - 4);
    expect(await openError()).toMatch(
      /^FILE tensor "a" ends at byte \d+ of a file of \d+: the file is damaged/,
    );
  });

  test.each([
    [{ dtype: 12, shape: [1], data_offsets: [0, 8] }, "has dtype 12"],
    [{ dtype: "F32", shape: [1], data_offsets: [4, 8] }, "begins after bytes that no tensor names"],
    [{ dtype: "F32", shape: [-1], data_offsets: [0, 4] }, "has shape [-1]"],
    [
      { dtype: "F32", shape: [2], data_offsets: [0, 4] },
      "has 4 bytes of data, but its shape and dtype make 8",
    ],
    [
      { dtype: "F32", shape: [2], data_offsets: [8, 0] },
      "has -8 bytes of data, but its shape and dtype make 8",
    ],
    [{ dtype: "F32", shape: [1], data_offsets: [0] }, "has data offsets [0]"],
    [7, "is not described by an object"],
  ])("a tensor described by %j", async (entry, problem) => {
    await writeWithHeader({ a: entry }, 8);
    expect(await openError()).toBe(
      `FILE tensor "a" ${problem}: the file is damaged: copy or download it again`,
    );
  });
});

test("a file with any damaged bytes is refused with a clear error, or opens", async () => {
  const whole = encodeSafetensors([tensor]);
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, byte) => {
      const damaged = whole.slice();
      damaged[at] = byte;
      await writeFile(path, damaged);
      try {
        await using file = await SafetensorsFile.open(path);
        for (const name of file.tensors.keys()) await file.read(name);
      } catch (error) {
        expect(error).toMatchObject({ code: "VG_WEIGHTS_INVALID" });
      }
    }),
    { numRuns: 200 },
  );
});

test.each(["F8_E8M0", "F12"])(
  "a tensor of dtype %s that nobody reads does not refuse the file",
  async (dtype) => {
    await writeWithHeader({ a: { dtype, shape: [8], data_offsets: [0, 8] } }, 8);
    await using file = await SafetensorsFile.open(path);
    expect(file.tensor("a")).toMatchObject({ dtype, sizeBytes: 8 });
  },
);

test("dtypes below a byte are measured in bits", async () => {
  await writeWithHeader({ a: { dtype: "F6_E2M3", shape: [4], data_offsets: [0, 3] } }, 3);
  await using file = await SafetensorsFile.open(path);
  expect(file.tensor("a").sizeBytes).toBe(3);
});

describe("the format's own rules hold", () => {
  const entry = (start: number) => ({ dtype: "F32", shape: [1], data_offsets: [start, start + 4] });
  const nested = `{"a":{"dtype":"F32","shape":${"[".repeat(100_000)}${"]".repeat(100_000)}}}`;
  test.each([
    ["overlapping tensors", { a: entry(0), b: entry(0) }, 4, 'FILE tensor "b" overlaps the tensor before it'],
    ["trailing bytes", { a: entry(0) }, 5, "FILE has 1 bytes after its last tensor"],
    [
      "a name twice",
      `{"a":${JSON.stringify(entry(0))},"a":${JSON.stringify(entry(0))}}`,
      4,
      "FILE names a tensor twice",
    ],
    [
      "a byte order mark",
      `\ufeff${JSON.stringify({ a: entry(0) })}`,
      4,
      "FILE has a header that is not JSON",
    ],
    ["nested shapes", nested, 0, "FILE has a header nested more than 3 deep"],
  ])("%s", async (_, header, dataBytes, message) => {
    await writeWithHeader(header, dataBytes);
    expect(await openError()).toContain(message);
  });
});

test("a file that changes while it is open is noticed", async () => {
  await writeSafetensors(path, [tensor]);
  await using file = await SafetensorsFile.open(path);
  await utimes(path, 1, 1);
  await expect(file.read("a")).rejects.toThrow("was changed while it was open");
});

test("a directory or other path that is not a regular file is refused", async () => {
  path = directory;
  expect(await openError()).toContain("is not a regular file");
});

test("a file beyond the size of one array is written piece by piece", () => {
  // 6 GiB by the header. Each piece is the same small array.
  const bytes = new Uint8Array(8);
  const sources = ["a", "b", "c"].map((name) => ({
    name,
    dtype: "F32" as const,
    shape: [2 ** 29],
    sizeBytes: 2 ** 31,
    bytes: () => bytes,
  }));
  const [header, ...pieces] = safetensorsPieces(sources);
  expect(Buffer.from(header!).toString()).toContain(`"data_offsets":[${2 ** 32},${3 * 2 ** 31}]`);
  expect(pieces).toEqual([bytes, bytes, bytes]);
});

test("a file with two tensors of one name, or a tensor named __metadata__, is not written", () => {
  expect(() => encodeSafetensors([tensor, tensor])).toThrow('two tensors are named "a"');
  expect(() => encodeSafetensors([{ ...tensor, name: "__metadata__" }])).toThrow(
    "a tensor is named __metadata__",
  );
});

/** Files for which Python's safetensors 0.8 decides otherwise, with the reason. */
const DIFFERENT: Readonly<Record<string, string>> = {
  "float offset": "JSON.parse reads 4.0 as 4",
  "exponent offset": "JSON.parse reads 4e0 as 4",
  "shape overflows beside a zero": "a tensor with a side of 0 has no bytes",
  "dtype unknown": "a tensor that is not read may have the dtype of a later version",
  "dtype in small letters": "as for an unknown dtype",
  "tensor twice": "Python silently takes the last of the two",
  "lone surrogate": "JSON.parse accepts it, and no known tensor has such a name",
};

type Crafted = [name: string, header: string, dataBytes: number, lengthLie: number, accepted: boolean];
const CRAFTED = JSON.parse(
  readFileSync(new URL("safetensors.cases.json", import.meta.url), "utf8"),
) as Crafted[];

test("each listed difference belongs to a crafted file", () => {
  const names = CRAFTED.map(([name]) => name);
  expect(names).toEqual(expect.arrayContaining(Object.keys(DIFFERENT)));
});

test.each(CRAFTED)(
  "%s: accepted or refused as in Python's safetensors",
  async (name, header, dataBytes, lengthLie, accepted) => {
    await writeWithHeader(header, dataBytes, lengthLie);
    const opened = (await openError()) === "opened";
    expect(opened).toBe(name in DIFFERENT ? !accepted : accepted);
  },
);
