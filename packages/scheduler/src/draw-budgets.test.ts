import { describe, expect, it } from "vitest";
import { commonSizes, drawBudgets, planBudgets, powerOfTwoBudgets } from "./index.js";

const elements = (svg: string, tag: string): string[] => svg.match(new RegExp(`<${tag} [^>]*>`, "g")) ?? [];
const attribute = (element: string, name: string): number =>
  Number(new RegExp(` ${name}="([^"]*)"`).exec(element)?.[1]);

describe("drawBudgets", () => {
  it("draws a line for each budget, at its place on a logarithmic axis", () => {
    const svg = drawBudgets({ histogram: [64, 256, 1024], budgets: [64, 256, 1024] });
    const places = elements(svg, "line")
      .filter((line) => line.includes("#b4232a"))
      .map((line) => [attribute(line, "x1"), attribute(line, "x2")] as const)
      .filter(([x1, x2]) => x1 === x2)
      .map(([x]) => x);
    expect(places).toHaveLength(3);
    expect(places[1]! - places[0]!).toBeCloseTo(places[2]! - places[1]!, 1);
  });

  it("draws taller columns for what comes more often", () => {
    const svg = drawBudgets({
      histogram: [
        { tokens: 100, weight: 1 },
        { tokens: 1000, weight: 4 },
      ],
      budgets: [1000],
    });
    const heights = elements(svg, "rect")
      .filter((rect) => rect.includes("#3f7fbf"))
      .map((rect) => attribute(rect, "height"));
    expect(heights).toHaveLength(2);
    expect(heights[1]! / heights[0]!).toBeCloseTo(4, 1);
  });

  it("keeps everything inside the picture, also with many budgets", () => {
    const histogram = commonSizes();
    const svg = drawBudgets({
      histogram,
      budgets: planBudgets(histogram, { maxGraphs: 40 }).budgets,
      comparedWith: { name: "power-of-two budgets", budgets: powerOfTwoBudgets(64, 16_384) },
      notes: ["one", "two"],
    });
    const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
    for (const element of [...elements(svg, "line"), ...elements(svg, "text"), ...elements(svg, "rect")]) {
      for (const [name, end] of [
        ["x", width],
        ["x1", width],
        ["x2", width],
        ["y", height],
        ["y1", height],
        ["y2", height],
      ] as const) {
        const value = attribute(element, name);
        if (Number.isNaN(value)) continue;
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(end!);
      }
    }
  });

  it("has a dark colour for every colour that it draws with", () => {
    const svg = drawBudgets({
      histogram: [64, 256],
      budgets: [64, 256],
      comparedWith: { name: "others", budgets: [128] },
      notes: ["one"],
    });
    const [style = ""] = svg.match(/<style>.*<\/style>/) ?? [];
    const drawn = svg.replace(style, "").match(/(fill|stroke)="#[0-9a-f]{6}"/g) ?? [];
    expect(new Set(drawn).size).toBeGreaterThan(4);
    for (const color of drawn) expect(style).toContain(`[${color}]{`);
  });

  it("shades the sizes of each budget up to its line, and fills its box by its padding", () => {
    const svg = drawBudgets({ histogram: [50, 100, 400], budgets: [100, 400] });
    const boxes = (fill: string) =>
      elements(svg, "rect")
        .filter((rect) => rect.includes(fill))
        .map((rect) => rect.replace(/ fill.*/, ""));
    const [first, , ...others] = elements(svg, "line")
      .filter((line) => line.includes("#b4232a"))
      .map((line) => attribute(line, "x1"));
    expect(others.length).toBe(1);
    const [shade] = boxes("#e4ecf4");
    expect(attribute(shade!, "x") + attribute(shade!, "width")).toBeCloseTo(first!, 1);
    // 50 of the 200 tokens of two items of the first budget, 26 pixels tall; nothing of the second. The third is the legend's.
    expect(boxes("#e8a33d").map((box) => attribute(box, "height"))).toEqual([6.5, 0, 12]);
    expect(svg).toContain(">25 %<");
    expect(svg).toContain("padding by budget, planned");
  });

  it("compares with the padding of other budgets", () => {
    const comparedWith = { name: "powers of two", budgets: [128, 512] };
    const svg = drawBudgets({ histogram: [100, 400], budgets: [100, 400], comparedWith, counted: "batch" });
    expect(svg).toContain("padding by budget, powers of two");
    expect(svg).toContain(">21.9 %<");
    expect(svg).toContain(">batches<");
    expect(svg).toContain(">tokens of a batch<");
  });

  it("escapes text, and draws a single size", () => {
    const svg = drawBudgets({ histogram: [1], budgets: [1], title: `a < b & "c"` });
    expect(svg).toContain("a &lt; b &amp; &quot;c&quot;");
    expect(svg).not.toContain("NaN");
  });
});
