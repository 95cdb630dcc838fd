/** The compilation config with its findings. The editor is loaded after the rest of the page. */
import { html, nothing, render } from "lit-html";
import type { PageState } from "../src/page/page-state.js";
import type { ConfigEditor } from "./config-editor.js";
import type { PlacedFinding } from "./config-lint.js";
import { copyButton } from "./copy-button.js";

export class ConfigPanel {
  readonly #host = document.createElement("div");
  readonly #report: HTMLElement = document.createElement("div");
  #editor: Promise<ConfigEditor> | undefined;

  constructor(body: HTMLElement) {
    this.#host.className = "editor";
    body.append(this.#host, this.#report);
  }

  /** The editor keeps what the user wrote: later states have no effect. */
  showState({ compilationConfig, lintFacts }: PageState): void {
    this.#editor ??= this.#open(compilationConfig ?? {}, lintFacts);
  }

  async setBudgets(budgets: readonly number[]): Promise<void> {
    const editor = await this.#editor;
    editor?.set({ cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: budgets });
    editor?.focus();
  }

  async #open(
    config: Readonly<Record<string, unknown>>,
    facts: PageState["lintFacts"],
  ): Promise<ConfigEditor> {
    const { ConfigEditor, shortestText } = await import("./config-editor.js");
    const editor = new ConfigEditor(this.#host, {
      text: shortestText(config),
      facts,
      onFindings: (findings) => this.#show(editor, findings),
    });
    return editor;
  }

  #show(editor: ConfigEditor, findings: readonly PlacedFinding[]): void {
    render(
      html`
        <div role="status">
          ${findings.length === 0 ? html`<p class="fine">No errors, no warnings.</p>` : nothing}
          <ul class="findings">
            ${findings.map(
              ({ from, line, severity, message }) => html`
                <li class=${severity}>
                  <button type="button" @click=${() => editor.focus(from)}>
                    ${line === undefined ? severity : `${severity}, line ${line}`}
                  </button>
                  ${message}
                </li>
              `,
            )}
          </ul>
        </div>
        <p class="hint">
          Ctrl-Space completes keys and values; F8 goes to the next finding. The server keeps the config that it was started
          with: copy this one to <code>--compilation-config</code>.
        </p>
        <p class="buttons">
          ${copyButton(() => editor.text)}
        </p>
      `,
      this.#report,
    );
  }
}
