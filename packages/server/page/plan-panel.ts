/** Budgets planned from the traffic seen so far: a picture, a comparison, and the JSON. */
import { drawBudgets, planBudgets, powerOfTwoBudgets, reportBudgets } from "@vitgraph/scheduler";
import { html, nothing, render, type TemplateResult } from "lit-html";
import type { PageState } from "../src/page/page-state.js";
import { copyButton } from "./copy-button.js";
import { counted, percent } from "./format.js";

/** vLLM's smallest budget for most models: at least as many tokens as items in a batch. */
const USUAL_SMALLEST_BUDGET = 64;
const MAX_GRAPHS = 32;

export interface PlanPanelOptions {
  /** Asks the server for the sizes again. */
  readonly refresh: () => void;
  /** Puts the budgets into the editor. */
  readonly edit: (budgets: readonly number[]) => void;
}

export class PlanPanel {
  readonly #body: HTMLElement;
  readonly #options: PlanPanelOptions;
  #state: PageState | undefined;
  #maxGraphs: number | undefined;
  #pictureUrl: string | undefined;

  constructor(body: HTMLElement, options: PlanPanelOptions) {
    this.#body = body;
    this.#options = options;
  }

  showState(state: PageState): void {
    this.#state = state;
    this.#render();
  }

  #render(): void {
    render(
      html`
        ${this.#state === undefined ? nothing : this.#plan(this.#state)}
        <p><button type="button" @click=${this.#options.refresh}>Plan again</button></p>
      `,
      this.#body,
    );
  }

  #plan({ sizes, tokenBudgets, lintFacts }: PageState): TemplateResult {
    if (sizes.length === 0) return html`<p class="empty">No image has run yet.</p>`;
    const smallest = lintFacts.budgetRange?.min ?? USUAL_SMALLEST_BUDGET;
    const largest = sizes.at(-1)?.tokens ?? 1;
    const powers = powerOfTwoBudgets(smallest, Math.max(smallest, 2 ** Math.ceil(Math.log2(largest))));
    const usual = tokenBudgets.length === 0 ? powers.length : tokenBudgets.length;
    const maxGraphs = this.#maxGraphs ?? Math.min(usual, MAX_GRAPHS);
    const planned = planBudgets(sizes, { maxGraphs, smallestBudget: smallest });
    const current =
      tokenBudgets.length === 0
        ? { name: "powers of two", report: reportBudgets(sizes, powers) }
        : { name: "current budgets", report: reportBudgets(sizes, tokenBudgets) };
    const images = sizes.reduce((sum, { weight }) => sum + weight, 0);
    const svg = drawBudgets({
      histogram: sizes,
      budgets: planned.budgets,
      comparedWith: { name: current.name, budgets: current.report.budgets },
      title: "Sizes and budgets",
    });
    if (this.#pictureUrl !== undefined) URL.revokeObjectURL(this.#pictureUrl);
    this.#pictureUrl = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    const json = JSON.stringify({
      cudagraph_mm_encoder: true,
      encoder_cudagraph_token_budgets: planned.budgets,
    });
    const rows = [
      ["planned", planned],
      [current.name, current.report],
    ] as const;
    return html`
      <label class="inline">
        Most graphs
        <input
          type="number"
          min="1"
          max=${MAX_GRAPHS}
          .value=${String(maxGraphs)}
          @change=${({ target }: Event) => this.#setMaxGraphs((target as HTMLInputElement).valueAsNumber)}
        />
      </label>
      <div class="picture" tabindex="0" role="region" aria-label="Picture of the plan">
        <img
          src=${this.#pictureUrl}
          alt="Histogram of ${counted(images, "image")} by tokens, with the planned budgets ${planned.budgets.join(", ")}"
        />
      </div>
      <table>
        <caption>${counted(images, "image")} seen. Each is counted as if it ran alone; a batch packs several into a budget.</caption>
        <thead>
          <tr>
            <th scope="col">budgets</th>
            <th scope="col">graphs</th>
            <th scope="col">padding</th>
            <th scope="col">eager</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            ([name, { budgets, padding, eagerShare }]) => html`
              <tr>
                <th scope="row">${name}</th>
                <td>${budgets.length}</td>
                <td>${percent(padding)}</td>
                <td>${percent(eagerShare)}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
      <pre class="json" tabindex="0" aria-label="The planned config">${json}</pre>
      <p class="buttons">
        ${copyButton(() => json)}
        <button type="button" @click=${() => this.#options.edit(planned.budgets)}>Put into the editor</button>
      </p>
    `;
  }

  #setMaxGraphs(value: number): void {
    if (Number.isInteger(value) && value >= 1 && value <= MAX_GRAPHS) this.#maxGraphs = value;
    this.#render();
  }
}
