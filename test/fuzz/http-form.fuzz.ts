/**
 * The form of a request: whole ones, whose files the engine gets in their order; and damaged ones, parts with any headers and
 * other boundaries, which are refused with a code or read as a form too.
 */
import fc from "fast-check";
import { openFuzzServer } from "./fuzz-server.js";
import type { FuzzTarget } from "./fuzz-target.js";

const post = await openFuzzServer({ limits: { maxItems: 4, maxImageBytes: 64, maxBodyBytes: 4096 } });

/** Bytes of which many are parts of a boundary. */
const content = fc
  .array(
    fc.oneof(
      fc.constantFrom("\r", "\n", "-", "--", "--b", "\r\n--", "b", "\r\n--b"),
      fc.string({ unit: "binary", maxLength: 3 }),
    ),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .map((pieces) => Buffer.from(pieces.join("")));
const whole = fc.array(
  // The line feed of a boundary may be the one that ends the headers.
  content.filter((bytes) => bytes.length <= 64 && !`\r\n${bytes}`.includes("\r\n--b")),
  { minLength: 1, maxLength: 4 },
);
const headerPiece = fc.oneof(
  fc.constantFrom(
    "content-disposition: form-data",
    '; name="image"',
    '; name="model"',
    '; name="__proto__"',
    '; filename="a"',
    "; filename*=UTF-8''%ff",
    "\r\n",
    "\r\n ",
    "content-type: application/json",
    "content-type: multipart/mixed; boundary=b",
    "content-transfer-encoding: base64",
    '"',
    ":",
    "\0",
  ),
  fc.string({ unit: "binary", maxLength: 4 }),
);
const part = fc
  .tuple(fc.array(headerPiece, { maxLength: 8 }), fc.constantFrom("\r\n\r\n", "\n\n", "\r\n", ""), content)
  .map(([head, end, body]) =>
    Buffer.concat([Buffer.from(`--b\r\n${head.join("")}${end}`), body, Buffer.from("\r\n")]),
  );
const type = fc.oneof(
  { weight: 8, arbitrary: fc.constant("multipart/form-data; boundary=b") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "multipart/form-data",
      'multipart/form-data; boundary="b"',
      "multipart/form-data; boundary=",
      "MULTIPART/FORM-DATA; BOUNDARY=b",
      "multipart/form-data; boundary=b; boundary=c",
      "multipart/mixed; boundary=b",
    ),
  },
);

const formOf = (files: readonly Buffer[]) => {
  const parts = files.flatMap((bytes) => [
    Buffer.from('--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'),
    bytes,
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([...parts, Buffer.from("--b--\r\n")]);
};
const damaged = fc.oneof(
  fc
    .tuple(fc.array(part, { maxLength: 6 }), fc.constantFrom("--b--\r\n", "--b--", "--b", ""))
    .map(([parts, end]) => Buffer.concat([...parts, Buffer.from(end)])),
  fc.tuple(whole, fc.nat(), fc.nat({ max: 255 })).map(([files, place, value]) => {
    const form = formOf(files);
    form[place % form.length] = value;
    return form;
  }),
  fc.tuple(whole, fc.nat()).map(([files, place]) => {
    const form = formOf(files);
    return form.subarray(0, place % form.length);
  }),
);

const REFUSALS: readonly number[] = [400, 404, 413, 415];

export default {
  name: "http-form",
  property: fc.asyncProperty(
    fc.oneof(
      whole.map((files) => ({ files })),
      fc.record({ form: damaged, type }),
    ),
    async (drawn) => {
      if ("files" in drawn) {
        const headers = { "content-type": "multipart/form-data; boundary=b" };
        const { status, images } = await post({ headers, body: formOf(drawn.files) });
        const { files } = drawn;
        return (
          status === 200 &&
          images.length === files.length &&
          files.every((file, at) => images[at]?.equals(file))
        );
      }
      const { status, images } = await post({ headers: { "content-type": drawn.type }, body: drawn.form });
      return status === 200 ? images.length > 0 && images.length <= 4 : REFUSALS.includes(status);
    },
  ),
} satisfies FuzzTarget;
