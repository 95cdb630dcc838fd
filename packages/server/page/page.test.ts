/** The live page in Debian's Chromium, in front of a real engine. */
import { setTimeout as sleep } from "node:timers/promises";
import { VitgraphError } from "@vitgraph/errors";
import type { FastifyInstance } from "fastify";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RecentTraffic, type ServerOptions } from "../src/index.js";
import { openTestEngine, png, serve, type TestEngine } from "../test/serve.js";
import { chromiumPath, launchChromium } from "./browser.js";

if (chromiumPath === undefined)
  console.warn("SKIPPED: no Chromium is installed (apt install chromium), and the live page is not tested");

const KEY = "a-key-of-the-test-0123456789";
const compilationConfig = { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [16, 64] };
const lintFacts = { budgetRange: { min: 4, max: 256 } };

describe.skipIf(chromiumPath === undefined)("the live page", () => {
  let opened: TestEngine;
  let browser: Browser;
  let photo: Buffer;
  const traffic = new RecentTraffic();
  beforeAll(async () => {
    opened = await openTestEngine({ observers: [traffic], compilationConfig, outputCacheBytes: 1 << 20 });
    // Every test then finds a bar, whichever runs first.
    await opened.engine.encode([{ image: await png(20, 20) }]);
    browser = await launchChromium(chromiumPath as string);
    const background = "#3070c0";
    photo = await sharp({ create: { width: 40, height: 24, channels: 3, background } })
      .png()
      .toBuffer();
  });
  afterAll(async () => {
    await browser?.close();
    await opened?.[Symbol.asyncDispose]();
  });

  interface OpenPage extends AsyncDisposable {
    readonly page: Page;
    readonly url: string;
    /** Paths of the requests so far. */
    readonly requests: readonly string[];
  }

  interface OpenOptions {
    readonly server?: Partial<ServerOptions>;
    readonly register?: (app: FastifyInstance) => void;
    readonly context?: BrowserContextOptions;
  }

  /** A page that fails the test for an error, a breach of its policy, or a request that leaves the server. */
  async function open({ server: options = {}, register, context = {} }: OpenOptions = {}): Promise<OpenPage> {
    const { engine } = opened;
    const page = { traffic, compilationConfig, lintFacts };
    const server = await serve({ engine, page, ...options }, register);
    const opening = await browser.newContext(context);
    opening.setDefaultTimeout(120_000);
    const tab = await opening.newPage();
    const complaints: string[] = [];
    const requests: string[] = [];
    tab.on("pageerror", (error) => complaints.push(String(error)));
    tab.on("console", (message) => {
      // Chromium writes a line for each answer that is an error; tests expect some.
      const isAnswer = message.text().startsWith("Failed to load resource");
      if (["error", "warning"].includes(message.type()) && !isAnswer) complaints.push(message.text());
    });
    tab.on("request", (request) => {
      const { protocol, origin, pathname, search } = new URL(request.url());
      if (protocol === "blob:") return;
      requests.push(pathname + search);
      if (origin !== server.url) complaints.push(`a request to ${request.url()}`);
    });
    await tab.goto(server.url);
    return {
      page: tab,
      url: server.url,
      requests,
      async [Symbol.asyncDispose]() {
        await opening.close();
        await server[Symbol.asyncDispose]();
        expect(complaints.join("\n")).toBe("");
      },
    };
  }

  const figure = (page: Page, name: string) =>
    page
      .locator(".figures > div", { has: page.locator("dt", { hasText: name }) })
      .first()
      .locator("strong");
  const choose = (page: Page) =>
    page.setInputFiles("input[type=file]", { name: "photo.png", mimeType: "image/png", buffer: photo });
  const editor = (page: Page) => page.getByRole("textbox", { name: "Compilation config" });

  /** Replaces the editor's text. */
  async function write(page: Page, text: string): Promise<void> {
    await editor(page).click();
    await page.keyboard.press("Control+A");
    await page.keyboard.press("Delete");
    await page.keyboard.insertText(text);
  }

  /** The text as the editor has it: without the boxes of completion. */
  const editorText = async (page: Page) => (await page.locator(".cm-line").allInnerTexts()).join("\n");

  test("bars and figures follow the requests", async () => {
    await using live = await open();
    const { page } = live;
    await page.locator("#status", { hasText: "ready" }).waitFor();
    const before = traffic.message(0).totals.batches;
    for (const [index, side] of [16, 24, 40].entries())
      await opened.engine.encode([{ image: await png(side, side, index) }]);
    await page
      .locator(".bar")
      .nth(before + 2)
      .waitFor({ state: "attached" });
    expect(await page.locator(".bar").count()).toBe(before + 3);
    const titles = await page.locator(".bar title").allTextContents();
    expect(titles.slice(-3)).toMatchObject([
      expect.stringMatching(/1 image, 16 tokens, budget 16, /),
      expect.stringMatching(/1 image, 36 tokens, budget 64, /),
      expect.stringMatching(/1 image, 100 tokens, eager, /),
    ]);
    const heights = await page
      .locator(".bar")
      .nth(before + 1)
      .locator("rect")
      .evaluateAll((rects) => rects.map((rect) => Number(rect.getAttribute("height"))));
    // The filled part is the share of the budget that images fill.
    expect((heights[1] as number) / (heights[0] as number)).toBeCloseTo(36 / 64, 5);
    expect(await figure(page, "images encoded").textContent()).toBe(String(traffic.message(0).totals.items));
    expect(await figure(page, "device time").textContent()).toMatch(/^[\d.]+ ms$/);
    expect(await figure(page, "device memory").textContent()).toMatch(/^[\d.]+ [GM]iB$/);
    await expectName(page, /^The last \d+ batches: .*% of their budgets is padding; \d+ ran eagerly$/);
  });

  async function expectName(page: Page, name: RegExp): Promise<void> {
    await page.getByRole("img", { name }).waitFor();
  }

  test("the queue and the output cache are shown", async () => {
    await using live = await open();
    const { page } = live;
    const image = await png(28, 28, 99);
    await opened.engine.encode([{ image }]);
    const hits = opened.engine.stats().outputCache?.hits as number;
    await opened.engine.encode([{ image }]);
    await page
      .locator(".figures > div", { hasText: "output cache" })
      .filter({ hasText: new RegExp(`${hits + 1} of \\d+;`) })
      .waitFor();
    expect(await figure(page, "queue").textContent()).toBe("0 images");
  });

  test("a dropped image shows its grid, tokens and time", async () => {
    await using live = await open();
    const { page } = live;
    await page.locator(".drop").waitFor();
    const transfer = await page.evaluateHandle(
      (bytes) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
        return data;
      },
      [...photo],
    );
    await page.locator("body").dispatchEvent("drop", { dataTransfer: transfer });
    const facts = page.locator(".facts");
    await facts.waitFor();
    // 40 × 24 pixels, patches of 2 × 2, four patches a token.
    expect(await facts.textContent()).toMatch(
      /1 × 12 × 20 patches.*60 rows of 16 columns.*\d m?s, upload included/s,
    );
    expect(await page.locator(".preview line").count()).toBe(9 + 5);
    const [image, grid] = await Promise.all([
      page.locator(".preview img").boundingBox(),
      page.locator(".preview svg").boundingBox(),
    ]);
    expect(grid).toEqual(image);
    expect(live.requests.filter((path) => path.startsWith("/v1/"))).toEqual(["/v1/embeddings"]);
  });

  test("a file that is no image shows the server's error", async () => {
    await using live = await open();
    const { page } = live;
    await page.setInputFiles("input[type=file]", {
      name: "notes.txt",
      mimeType: "text/plain",
      buffer: Buffer.from("these are notes"),
    });
    const problem = page.locator("#image .problem");
    await problem.waitFor();
    expect(await problem.textContent()).toContain("image");
    expect(await page.locator(".facts").count()).toBe(0);
  });

  test("everything is reached by the keyboard, and has a name", async () => {
    await using live = await open();
    const { page } = live;
    await choose(page);
    await page.locator(".facts").waitFor();
    await editor(page).waitFor();
    await page.locator(".picture img").waitFor();
    // The choice has moved the focus; Tab must begin at the top.
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await page.locator("#status").click();
    const seen: string[] = [];
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press("Tab");
      const name = await page.evaluate(() => {
        let element = document.activeElement;
        while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
        if (element === null || element === document.body) return undefined;
        const label = (element as HTMLInputElement).labels?.[0]?.textContent;
        return (element.getAttribute("aria-label") ?? label ?? element.textContent ?? "").trim();
      });
      if (name === undefined) break;
      seen.push(name.replaceAll(/\s+/g, " "));
    }
    expect(seen).not.toContain("");
    for (const name of [
      "Batches",
      "The last batches as a table",
      "Choose an image",
      "Most graphs",
      "Put into the editor",
      "Plan again",
      "Compilation config",
      "Metrics",
    ])
      expect(seen).toContain(name);
  });

  test("an image is chosen and the table is opened without a mouse", async () => {
    await using live = await open();
    const { page } = live;
    // From now on, since Chromium takes a moment to hand its dialog over.
    const chooser = page.waitForEvent("filechooser");
    await page.locator("summary").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "The last batches" }).waitFor();
    await page.getByLabel("Choose an image").focus();
    await page.keyboard.press("Space");
    await (await chooser).setFiles({ name: "photo.png", mimeType: "image/png", buffer: photo });
    await page.locator(".facts").waitFor();
  });

  test("a typo has a squiggle, and the linter's words below it", async () => {
    await using live = await open();
    const { page } = live;
    await editor(page).waitFor();
    expect(JSON.parse(await editorText(page))).toEqual(compilationConfig);
    await page.getByText("No errors, no warnings.").waitFor();
    await write(page, '{\n  "cudagraph_mm_encodr": true\n}');
    const squiggle = page.locator(".cm-lintRange-error");
    await squiggle.waitFor();
    expect(await squiggle.textContent()).toBe('"cudagraph_mm_encodr"');
    expect(await squiggle.evaluate((mark) => getComputedStyle(mark).textDecorationStyle)).toBe("wavy");
    const finding = page.locator(".findings .error");
    expect(await finding.textContent()).toMatch(/error, line 2.*did you mean "cudagraph_mm_encoder"/s);
    await write(page, '{"encoder_cudagraph_token_budgets": [64]}');
    await page.locator(".findings .warning", { hasText: "no graphs are captured" }).waitFor();
    await write(page, '{"cudagraph_mm_encoder": tru}');
    await page.locator(".findings .error", { hasText: "not JSON" }).waitFor();
  });

  test("a selection of several lines is typed over", async () => {
    await using live = await open();
    const { page } = live;
    await editor(page).click();
    await page.keyboard.press("Control+Home");
    for (const _ of [1, 2, 3]) await page.keyboard.press("Shift+ArrowDown");
    const lines = (await editorText(page)).split("\n");
    await page.keyboard.type("xy");
    expect(await editorText(page)).toBe(["xy".concat(lines[3] as string), ...lines.slice(4)].join("\n"));
    await page.keyboard.press("Control+Z");
    expect(await editorText(page)).toBe(lines.join("\n"));
  });

  test("keys and values are completed from the schema", async () => {
    await using live = await open();
    const { page } = live;
    await write(page, "{}");
    await page.keyboard.press("Control+Home");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.type('"cudagraph_mm');
    const option = page.getByRole("option", { name: /cudagraph_mm_encoder/ });
    await option.first().waitFor();
    // CodeMirror takes no key in the first moment of a list.
    await sleep(200);
    await page.keyboard.press("Enter");
    expect(await editorText(page)).toBe('{"cudagraph_mm_encoder": }');
    await page.keyboard.press("Control+Space");
    await page.getByRole("option", { name: "true" }).waitFor();
    expect(await page.getByRole("option").allTextContents()).toEqual(["falsethe default", "true"]);
    await sleep(200);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    expect(await editorText(page)).toBe('{"cudagraph_mm_encoder": true}');
    await page.getByText("No errors, no warnings.").waitFor();
    await write(page, "{}");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Control+Space");
    await page.locator(".cm-completionInfo", { hasText: "Takes true or false. " }).waitFor();
  });

  test("budgets are planned from the traffic, and put into the editor", async () => {
    await using live = await open();
    const { page } = live;
    await opened.engine.encode([{ image: await png(44, 44, 7) }]);
    await page.locator("#plan").getByRole("button", { name: "Plan again" }).click();
    const json = page.getByLabel("The planned config");
    await expect.poll(() => json.textContent()).toContain("121");
    await page.getByLabel("Most graphs").fill("3");
    await page.keyboard.press("Enter");
    await expect
      .poll(async () => JSON.parse((await json.textContent()) ?? "").encoder_cudagraph_token_budgets)
      .toHaveLength(3);
    const planned = JSON.parse((await json.textContent()) ?? "");
    const largest = Math.max(...traffic.sizes().map(({ tokens }) => tokens));
    expect(planned.encoder_cudagraph_token_budgets.at(-1)).toBe(largest);
    const rows = page.locator("#plan tbody tr");
    expect(await rows.first().textContent()).toMatch(/planned\s+3\s+[\d.]+%\s+0%/);
    expect(await rows.nth(1).textContent()).toContain("current budgets");
    const picture = page.locator(".picture img");
    expect(await picture.getAttribute("alt")).toContain(planned.encoder_cudagraph_token_budgets.join(", "));
    expect(await picture.evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBe(960);
    await page.getByRole("button", { name: "Put into the editor" }).click();
    await expect.poll(async () => JSON.parse(await editorText(page))).toEqual(planned);
  });

  test("dark where the system is dark, and never wider than the window", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      await using live = await open({ context: { colorScheme, viewport: { width: 360, height: 740 } } });
      const { page } = live;
      await choose(page);
      await page.locator(".facts").waitFor();
      await page.locator(".picture img").waitFor();
      await editor(page).waitFor();
      await expect
        .poll(() => page.locator(".picture img").evaluate((image) => (image as HTMLImageElement).complete))
        .toBe(true);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow).toBe(0);
      for (const selector of ["body", ".picture img", ".cm-editor"]) {
        const shot = await page.locator(selector).first().screenshot();
        const { dominant } = await sharp(shot).stats();
        expect([selector, dominant.r + dominant.g + dominant.b > 384]).toEqual([
          selector,
          colorScheme === "light",
        ]);
      }
    }
  });

  test("with keys the page asks for one, keeps it in the tab, and never puts it into a URL", async () => {
    await using live = await open({ server: { apiKeys: [KEY] } });
    const { page, requests } = live;
    const dialog = page.getByRole("dialog", { name: "This server needs an API key" });
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    expect(await page.locator(".bar").count()).toBe(0);
    await dialog.getByLabel("API key").fill("a-wrong-key-0123456789");
    await page.keyboard.press("Enter");
    await dialog.getByRole("alert").waitFor();
    await dialog.getByLabel("API key").fill(KEY);
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "hidden" });
    await page.locator(".bar").first().waitFor({ state: "attached" });
    await choose(page);
    await page.locator(".facts").waitFor();
    await page.reload();
    await page.locator(".bar").first().waitFor({ state: "attached" });
    expect(await dialog.isVisible()).toBe(false);
    expect([...requests, page.url()].filter((path) => path.includes("key-"))).toEqual([]);
    expect(await page.evaluate(() => [localStorage.length, document.cookie])).toEqual([0, ""]);
  });

  test("an answer about the image streams, and can be stopped", async () => {
    const bodies: unknown[] = [];
    let next = () => {};
    let gone = false;
    await using live = await open({
      register: (app) => {
        app.post("/v1/chat/completions", async (request, reply) => {
          bodies.push(request.body);
          reply.hijack();
          const { raw } = reply;
          raw.once("close", () => {
            gone = !raw.writableFinished;
          });
          raw.writeHead(200, { "content-type": "text/event-stream" });
          const send = (data: unknown) => raw.write(`data: ${JSON.stringify(data)}\n\n`);
          send({ choices: [{ delta: { role: "assistant", content: "" } }] });
          for (const content of ["A blue ", "rectangle ", "<b>of 40 × 24</b>"]) {
            send({ choices: [{ delta: { content } }] });
            await new Promise<void>((resolve) => {
              next = resolve;
            });
          }
          send({ choices: [{ delta: {}, finish_reason: "stop" }] });
          raw.end("data: [DONE]\n\n");
        });
      },
    });
    const { page } = live;
    await choose(page);
    await page.getByLabel("Ask about the image").fill("What is it?");
    await page.keyboard.press("Enter");
    const answer = page.locator(".answer span");
    await expect.poll(() => answer.textContent()).toBe("A blue ");
    next();
    await expect.poll(() => answer.textContent()).toBe("A blue rectangle ");
    next();
    // Text of a model is text.
    await expect.poll(() => answer.textContent()).toBe("A blue rectangle <b>of 40 × 24</b>");
    next();
    await page.getByRole("button", { name: "Ask", exact: true }).waitFor();
    expect(bodies).toEqual([
      {
        stream: true,
        messages: [
          {
            role: "user",
            content: [
              {
                type: "image_url",
                image_url: { url: `data:image/png;base64,${photo.toString("base64")}` },
              },
              { type: "text", text: "What is it?" },
            ],
          },
        ],
      },
    ]);
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await expect.poll(() => answer.textContent()).toBe("A blue ");
    expect(gone).toBe(false);
    await page.getByRole("button", { name: "Stop" }).click();
    await expect.poll(() => gone).toBe(true);
    next();
    expect(await answer.textContent()).toBe("A blue ");
  });

  test("an error of the chat route is shown", async () => {
    await using live = await open({
      register: (app) => {
        app.post("/v1/chat/completions", async () => {
          throw new VitgraphError("VG_QUEUE_FULL", "the queue is full", { remedy: "try again later" });
        });
      },
    });
    const { page } = live;
    await choose(page);
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await page.locator(".answer .problem", { hasText: "the queue is full: try again later" }).waitFor();
  });

  test("without a chat route nothing is asked", async () => {
    await using live = await open();
    await choose(live.page);
    await live.page.locator(".facts").waitFor();
    expect(await live.page.getByLabel("Ask about the image").count()).toBe(0);
  });

  test("the page says that the server is gone", async () => {
    await using live = await open();
    const { page } = live;
    await page.locator("#status.good").waitFor();
    await page.route("**/page/events", (route) => route.abort());
    await page.reload();
    await page.locator("#status.bad", { hasText: "the server does not answer" }).waitFor();
    await page.unroute("**/page/events");
    await page.locator("#status.good").waitFor();
  });
});
