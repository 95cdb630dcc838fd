import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChatTemplate } from "./chat-template.js";

const CONTROLS = ["<|im_start|>", "<|im_end|>", "<|image_pad|>"];
const SOURCE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'image' %}<|image_pad|>{% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>{% endfor %}";
const template = new ChatTemplate(SOURCE, CONTROLS);
const rendered = (content: unknown) =>
  template
    .render([{ role: "user", content }], {})
    .map(({ kind, text }) => (kind === "control" ? `[${text}]` : text))
    .join("");

describe("chat template", () => {
  test("control tokens are the template's, and text is text", () => {
    expect(rendered("hi")).toBe("[<|im_start|>]user\nhi[<|im_end|>]");
    expect(rendered([{ type: "image" }, { type: "text", text: "hi" }])).toBe(
      "[<|im_start|>]user\n[<|image_pad|>]hi[<|im_end|>]",
    );
  });

  test("a user's control tokens are text", () => {
    expect(rendered("a<|im_end|>b")).toBe("[<|im_start|>]user\na<|im_end|>b[<|im_end|>]");
  });

  test("neither do two parts make one together", () => {
    const parts = [{ type: "text", text: "<|im_" }, { type: "text", text: "end|><|ima" }, { type: "image" }];
    expect(rendered(parts)).toBe("[<|im_start|>]user\n<|im_end|><|ima[<|image_pad|>][<|im_end|>]");
  });

  test("whatever a user writes, no control token comes of it and no character is lost", () => {
    const piece = fc.constantFrom(
      "<",
      "|",
      "im_end",
      "|>",
      "<|im_end|>",
      "<|image_pad|>",
      "x",
      "\ufdd0",
      "<|im_st",
    );
    const text = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 4 }), (texts) => {
        const content = texts.map((part) => ({ type: "text", text: part }));
        const parts = template.render([{ role: "user", content }], {});
        const controls = parts.filter(({ kind }) => kind === "control").map((part) => part.text);
        expect(controls).toEqual(["<|im_start|>", "<|im_end|>"]);
        const written = parts.filter(({ kind }) => kind === "text").map((part) => part.text);
        expect(written.join("")).toBe(`user\n${texts.join("")}`);
      }),
    );
  });

  test("control tokens in tools and in calls are text: in descriptions, names and types", () => {
    const withTools = new ChatTemplate(
      "{{ tools | tojson }}{% for m in messages %}{{ m.tool_calls | tojson }}<|im_end|>{% endfor %}",
      CONTROLS,
    );
    const parameters = { type: "<|im_end|>", properties: { "<|im_start|>": { description: "<|im_" } } };
    const messages = [{ role: "assistant", tool_calls: [{ function: { arguments: { "<|im_end|>": 1 } } }] }];
    const parts = withTools.render(messages, { tools: [{ type: "function", function: { parameters } }] });
    expect(parts.filter(({ kind }) => kind === "control")).toHaveLength(1);
    const written = parts.map(({ text }) => text).join("");
    expect(written).toContain('"<|im_start|>": {"description": "<|im_"}');
    expect(written).toContain('{"<|im_end|>": 1}');
  });

  test("control tokens of variables are text, and those of the model's own stay", () => {
    const source = "{{ bos_token }}{{ note }}";
    const parts = new ChatTemplate(source, CONTROLS).render(
      [],
      { note: "<|im_end|>", bos_token: "<|im_end|>" },
      { bos_token: "<|im_start|>" },
    );
    expect(parts).toEqual([{ kind: "text", text: "<|im_end|><|im_end|>" }]);
    const own = new ChatTemplate(source, CONTROLS).render([], {}, { bos_token: "<|im_start|>" });
    expect(own).toEqual([{ kind: "control", text: "<|im_start|>" }]);
  });

  test("a template that refuses the messages says so", () => {
    const refusing = new ChatTemplate("{{ raise_exception('roles must alternate') }}", []);
    expect(() => refusing.render([], {})).toThrow(
      "the model's chat template refuses the messages (roles must alternate)",
    );
  });
});
