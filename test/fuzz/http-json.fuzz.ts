/**
 * The JSON body of a request: bodies that are nearly right, any JSON, and damaged text. A body is refused with a code, or the
 * engine gets the bytes that its data URLs hold, in their order.
 */
import fc from "fast-check";
import { openFuzzServer } from "./fuzz-server.js";
import type { FuzzTarget } from "./fuzz-target.js";

const post = await openFuzzServer({ limits: { maxItems: 4, maxImageBytes: 64, maxBodyBytes: 4096 } });

const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
const dataUrl = bytes.map((content) => `data:image/png;base64,${Buffer.from(content).toString("base64")}`);
const nearlyDataUrl = fc
  .tuple(dataUrl, fc.nat({ max: 60 }), fc.string({ unit: "binary", maxLength: 3 }))
  .map(([url, at, text]) => url.slice(0, at) + text + url.slice(at + text.length));
const anything = fc.jsonValue({ maxDepth: 20 });
const source = fc.oneof(
  { weight: 8, arbitrary: dataUrl },
  { weight: 2, arbitrary: nearlyDataUrl },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  { weight: 1, arbitrary: anything },
);
const image = fc.oneof(
  source,
  fc.record({ image: source }),
  fc.record({ type: fc.constant("image_url"), image_url: fc.oneof(source, fc.record({ url: source })) }),
);
const request = fc.record(
  {
    input: fc.oneof(image, fc.array(image, { maxLength: 5 })),
    model: fc.oneof(fc.constant("fuzz"), anything),
    encoding_format: fc.oneof(fc.constantFrom("float", "base64"), anything),
    ["__proto__"]: anything,
    constructor: anything,
    toString: anything,
  },
  { requiredKeys: ["input"] },
);
/** Well-formed JSON, and the images that a right answer is of; null where the body is damaged. */
const text = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(dataUrl, { minLength: 1, maxLength: 4 })
      .map((urls) => ({ body: JSON.stringify({ input: urls }), urls })),
  },
  { weight: 6, arbitrary: request.map((value) => ({ body: JSON.stringify(value), urls: null })) },
  { weight: 2, arbitrary: anything.map((value) => ({ body: JSON.stringify(value), urls: null })) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(request, fc.nat(), fc.string({ unit: "binary", maxLength: 4 }))
      .map(([value, place, change]) => {
        const json = JSON.stringify(value);
        const at = place % json.length;
        return { body: json.slice(0, at) + change + json.slice(at + 1), urls: null };
      }),
  },
);

const REFUSALS: readonly number[] = [400, 403, 404, 413];

export default {
  name: "http-json",
  property: fc.asyncProperty(text, async ({ body, urls }) => {
    const { status, images } = await post({ headers: { "content-type": "application/json" }, body });
    if (urls === null) return status === 200 ? images.length > 0 : REFUSALS.includes(status);
    const sent = urls.map((url) => Buffer.from(url.slice(url.indexOf(",") + 1), "base64"));
    return status === 200 && sent.every((content, index) => images[index]?.equals(content));
  }),
} satisfies FuzzTarget;
