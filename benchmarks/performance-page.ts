// Draws docs/performance.svg and fills the tables of docs/performance.md and README.md, all from the reports of compare.mjs in results/:
//
//     pnpm plot:performance
//
// A table stands between `<!-- measured: NAME -->` and `<!-- /measured -->`. Nothing between two markers is written by hand.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { drawPerformance } from "./performance-plot.js";
import { type PerformanceReport, readPerformanceReport } from "./performance-report.js";
import { PERFORMANCE_TABLES } from "./performance-tables.js";

export const PLOT = "docs/performance.svg";
export const PAGES = ["docs/performance.md", "README.md"];

const MARKED = /<!-- measured: (.+?) -->\n.*?<!-- \/measured -->/gs;

/** The page with the report's tables. @throws an Error naming a marker without a table, or without an end */
export function fillTables(page: string, report: PerformanceReport): string {
  const ends = page.match(MARKED)?.length ?? 0;
  if (page.split("<!-- measured: ").length - 1 !== ends) {
    throw new Error("a marker has no end: add <!-- /measured --> after it");
  }
  return page.replaceAll(MARKED, (_, name: string) => {
    const table = Object.entries(PERFORMANCE_TABLES).find(([known]) => known === name)?.[1];
    if (table === undefined) {
      const known = Object.keys(PERFORMANCE_TABLES).join(", ");
      throw new Error(`there is no table ${JSON.stringify(name)}: choose from ${known}`);
    }
    return `<!-- measured: ${name} -->\n\n${table(report)}\n\n<!-- /measured -->`;
  });
}

function main(): void {
  const report = readPerformanceReport(fileURLToPath(new URL("results", import.meta.url)));
  const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
  writeFileSync(root(PLOT), drawPerformance(report));
  for (const page of PAGES) {
    writeFileSync(root(page), fillTables(readFileSync(root(page), "utf8"), report));
  }
  console.log(`wrote ${[PLOT, ...PAGES].join(", ")}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
