/** The running engine: batches as bars, with their budgets, and figures. */
import { html, nothing, render, svg, type TemplateResult } from "lit-html";
import type { LiveMessage, Percentiles, ShownBatch } from "../src/page/page-state.js";
import { bytes, count, counted, duration, percent } from "./format.js";

/** Most bars in the picture. */
const BARS = 64;
const WIDTH = 960;
const HEIGHT = 236;
const LEFT = 72;
const TOP = 12;
const BOTTOM = 8;
/** Labels of budgets closer than this, in pixels, would touch. */
const LABEL_HEIGHT = 22;

export class LivePanel {
  readonly #body: HTMLElement;
  #batches: readonly ShownBatch[] = [];
  #budgets: readonly number[] = [];

  constructor(body: HTMLElement) {
    this.#body = body;
  }

  /** Budgets that have a program: lines across the picture. */
  showBudgets(budgets: readonly number[]): void {
    this.#budgets = budgets;
  }

  show(message: LiveMessage): void {
    const known = this.#batches.at(-1)?.number ?? 0;
    // A server that was started again counts from 1.
    const kept = known > message.totals.batches ? [] : this.#batches;
    const fresh = message.batches.filter(({ number }) => number > (kept.at(-1)?.number ?? 0));
    if (fresh.length > 0 || kept.length === 0) this.#batches = [...kept, ...fresh].slice(-BARS);
    render(
      html`
        ${this.#picture()}
        <ul class="legend" aria-hidden="true">
          <li>one bar a batch, as high as its budget (log scale), the latest on the right</li>
          <li><span class="swatch real"></span>tokens of images</li>
          <li><span class="swatch padding"></span>padding up to the budget</li>
          <li><span class="swatch eager"></span>eager: no budget</li>
          <li><span class="swatch failed"></span>failed or cancelled</li>
        </ul>
        ${figures(message)}
        <details>
          <summary>The last batches as a table</summary>
          ${table(this.#batches)}
        </details>
      `,
      this.#body,
    );
  }

  #picture(): TemplateResult {
    const batches = this.#batches;
    const sizes = [...this.#budgets, ...batches.map(({ budget, tokens }) => budget ?? tokens)];
    if (batches.length === 0)
      return html`<p class="empty">No batch has run yet. Send an image, or try one below.</p>`;
    const least = Math.log2(Math.min(...sizes)) - 1;
    const most = Math.log2(Math.max(...sizes));
    const height = (tokens: number) =>
      (Math.max(0, Math.log2(Math.max(1, tokens)) - least) / (most - least)) * (HEIGHT - TOP - BOTTOM);
    const floor = HEIGHT - BOTTOM;
    const step = (WIDTH - LEFT) / BARS;
    const first = LEFT + (BARS - batches.length) * step;
    return html`
      <svg class="batches" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${summary(batches)}>
        ${ticks(this.#budgets, height).map(
          ({ budget, y }) => svg`
            <line class="tick" x1=${LEFT} x2=${WIDTH} y1=${floor - y} y2=${floor - y} />
            <text x=${LEFT - 8} y=${floor - y + 4} text-anchor="end">${budget}</text>`,
        )}
        ${batches.map((batch, index) => {
          const x = first + index * step + 1;
          const whole = height(batch.budget ?? batch.tokens);
          const share = batch.budget === null ? 1 : batch.tokens / batch.budget;
          const kind = batch.outcome !== "ok" ? "failed" : batch.budget === null ? "eager" : "real";
          return svg`
            <g class="bar">
              <title>${describeBatch(batch)}</title>
              <rect class="padding" x=${x} y=${floor - whole} width=${step - 2} height=${whole} />
              <rect class=${kind} x=${x} y=${floor - whole * share} width=${step - 2} height=${whole * share} />
            </g>`;
        })}
        <line class="axis" x1=${LEFT} x2=${WIDTH} y1=${floor} y2=${floor} />
      </svg>
    `;
  }
}

/** Budgets with a label, from the largest down. A budget is omitted if its label would overlap the one above. */
function ticks(
  budgets: readonly number[],
  height: (tokens: number) => number,
): readonly { readonly budget: number; readonly y: number }[] {
  const shown: { budget: number; y: number }[] = [];
  for (const budget of [...budgets].sort((a, b) => b - a)) {
    const y = height(budget);
    if (y <= (shown.at(-1)?.y ?? Number.POSITIVE_INFINITY) - LABEL_HEIGHT) shown.push({ budget, y });
  }
  return shown;
}

function summary(batches: readonly ShownBatch[]): string {
  const sum = (of: (batch: ShownBatch) => number) => batches.reduce((total, batch) => total + of(batch), 0);
  const budgeted = batches.filter(({ budget }) => budget !== null);
  const room = budgeted.reduce((total, { budget }) => total + (budget ?? 0), 0);
  const used = budgeted.reduce((total, { tokens }) => total + tokens, 0);
  const padding = room === 0 ? "" : `, ${percent(1 - used / room)} of their budgets is padding`;
  const eager = batches.length - budgeted.length;
  return `The last ${batches.length} batches: ${counted(
    sum(({ items }) => items),
    "image",
  )}, ${counted(
    sum(({ tokens }) => tokens),
    "token",
  )}${padding}; ${eager} ran eagerly`;
}

function describeBatch({ number, items, tokens, budget, deviceMs, queueMs, outcome }: ShownBatch): string {
  const where = budget === null ? "eager" : `budget ${budget}`;
  const end = outcome === "ok" ? "" : `, ${outcome}`;
  return `batch ${number}: ${counted(items, "image")}, ${counted(tokens, "token")}, ${where}, device ${duration(deviceMs)}, queue ${duration(queueMs)}${end}`;
}

function table(batches: readonly ShownBatch[]): TemplateResult {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="The last batches">
      <table>
        <thead>
          <tr>
            <th scope="col">batch</th>
            <th scope="col">device</th>
            <th scope="col">images</th>
            <th scope="col">tokens</th>
            <th scope="col">budget</th>
            <th scope="col">padding</th>
            <th scope="col">device time</th>
            <th scope="col">longest wait</th>
          </tr>
        </thead>
        <tbody>
          ${[...batches].reverse().map(
            ({ number, device, items, tokens, budget, deviceMs, queueMs, outcome }) => html`
              <tr>
                <th scope="row">${number}${outcome === "ok" ? nothing : ` ${outcome}`}</th>
                <td>${device}</td>
                <td>${items}</td>
                <td>${tokens}</td>
                <td>${budget ?? "eager"}</td>
                <td>${budget === null ? "" : percent(1 - tokens / budget)}</td>
                <td>${duration(deviceMs)}</td>
                <td>${duration(queueMs)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;
}

function figures({ totals, queue, times, caches, devices }: LiveMessage): TemplateResult {
  const cache = (name: string, use: LiveMessage["caches"]["output"]) =>
    use === null
      ? nothing
      : figure(
          name,
          use.hits + use.misses === 0 ? "no lookup" : `${percent(use.hits / (use.hits + use.misses))} hits`,
          `${count(use.hits)} of ${count(use.hits + use.misses)}; ${bytes(use.bytes)} of ${bytes(use.capacityBytes)}`,
        );
  const padding =
    totals.budgetTokens === 0 ? "none" : percent(1 - totals.budgetedTokens / totals.budgetTokens);
  return html`
    <dl class="figures">
      ${figure("queue", counted(queue.items, "image"), counted(queue.tokens, "token"))}
      ${figure("images encoded", count(totals.items), `${counted(totals.tokens, "token")} in ${count(totals.batches)} ${totals.batches === 1 ? "batch" : "batches"}`)}
      ${figure("padding", padding, "of the budgets' tokens, since the start")}
      ${time("device time", times.deviceMs, "batch")} ${time("queue wait", times.queueMs, "image")}
      ${time("end to end", times.callMs, "call")} ${cache("output cache", caches.output)}
      ${cache("grid cache", caches.grid)}
      ${devices.map(({ name, state, memory }) =>
        figure(
          `device memory, ${name.split(",", 1)[0]}`,
          memory === null ? state : bytes(memory.usedBytes),
          memory === null
            ? "not known"
            : html`of ${bytes(memory.totalBytes)}
                <meter
                  min="0"
                  max=${memory.totalBytes}
                  value=${memory.usedBytes}
                  aria-label="device memory in use"
                ></meter>`,
        ),
      )}
    </dl>
  `;
}

function time(name: string, values: Percentiles | null, of: string): TemplateResult {
  return values === null
    ? figure(name, "none yet", `median per ${of}`)
    : figure(name, duration(values.p50), `median per ${of}; 99% below ${duration(values.p99)}`);
}

function figure(name: string, value: string, detail: string | TemplateResult): TemplateResult {
  return html`<div>
    <dt>${name}</dt>
    <dd><strong>${value}</strong><span>${detail}</span></dd>
  </div>`;
}
