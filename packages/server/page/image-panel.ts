/** Try an image: its grid, tokens and time, and, where the server has a language model, questions about it. */
import { html, nothing, render, svg, type TemplateResult } from "lit-html";
import { count, duration } from "./format.js";
import type { EncodedImage, PageState, ServerApi } from "./server-api.js";

/** Lines in one direction; more would hide the image. */
const MAX_GRID_LINES = 96;

interface Chosen {
  readonly file: File;
  /** A blob URL, revoked when another image is chosen. */
  readonly url: string;
}

export class ImagePanel {
  readonly #body: HTMLElement;
  readonly #api: ServerApi;
  #state: PageState | undefined;
  #chosen: Chosen | undefined;
  #encoded: EncodedImage | undefined;
  #problem = "";
  #isDragging = false;
  /** Cancels the request that encodes the image. */
  #encoding: AbortController | undefined;
  #answer = "";
  #answerProblem = "";
  #asking: AbortController | undefined;

  constructor(body: HTMLElement, api: ServerApi) {
    this.#body = body;
    this.#api = api;
    // An image that misses the field would replace the page.
    for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());
    addEventListener("drop", (event) => this.#take((event as DragEvent).dataTransfer?.files));
    addEventListener("paste", (event) => this.#take((event as ClipboardEvent).clipboardData?.files));
    this.#render();
  }

  showState(state: PageState): void {
    this.#state = state;
    this.#render();
  }

  #take(files: FileList | null | undefined): void {
    this.#isDragging = false;
    const file = files?.[0];
    if (file === undefined) this.#render();
    else void this.#encode(file);
  }

  async #encode(file: File): Promise<void> {
    this.#encoding?.abort();
    this.#asking?.abort();
    if (this.#chosen !== undefined) URL.revokeObjectURL(this.#chosen.url);
    const encoding = new AbortController();
    this.#encoding = encoding;
    this.#chosen = { file, url: URL.createObjectURL(file) };
    this.#encoded = undefined;
    this.#problem = "";
    this.#answer = "";
    this.#answerProblem = "";
    this.#render();
    try {
      this.#encoded = await this.#api.encode(file, encoding.signal);
    } catch (error) {
      if (encoding.signal.aborted) return;
      this.#problem = (error as Error).message;
    }
    if (this.#encoding !== encoding) return;
    this.#encoding = undefined;
    this.#render();
  }

  async #ask(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const text = new FormData(event.target as HTMLFormElement).get("question") as string;
    if (this.#chosen === undefined || text.trim() === "") return;
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.#answer = "";
    this.#answerProblem = "";
    this.#render();
    const question = { image: this.#chosen.file, text };
    try {
      for await (const piece of this.#api.ask(question, asking.signal)) {
        if (asking.signal.aborted) break;
        this.#answer += piece;
        this.#render();
      }
    } catch (error) {
      if (!asking.signal.aborted) this.#answerProblem = (error as Error).message;
    }
    if (this.#asking !== asking) return;
    this.#asking = undefined;
    this.#render();
  }

  #stop(): void {
    this.#asking?.abort();
    this.#asking = undefined;
    this.#render();
  }

  #render(): void {
    const drag = (isDragging: boolean) => () => {
      this.#isDragging = isDragging;
      this.#render();
    };
    render(
      html`
        <div class="image-columns">
          <div>
            <label
              class="drop ${this.#isDragging ? "over" : ""}"
              @dragenter=${drag(true)}
              @dragleave=${drag(false)}
            >
              <input
                type="file"
                accept="image/*"
                aria-describedby="drop-hint"
                @change=${({ target }: Event) => this.#take((target as HTMLInputElement).files)}
              />
              <span>Choose an image</span>
            </label>
            <p class="hint" id="drop-hint">Or drop or paste one anywhere on the page. It goes to this server alone.</p>
            <div role="status">${this.#result()}</div>
            ${this.#chat()}
          </div>
          ${this.#preview()}
        </div>
      `,
      this.#body,
    );
  }

  #result(): TemplateResult | typeof nothing {
    if (this.#problem !== "") return html`<p class="problem">${this.#problem}</p>`;
    if (this.#encoding !== undefined) return html`<p>Encoding…</p>`;
    if (this.#encoded === undefined) return nothing;
    const { grid, tokens, columns, wallMs } = this.#encoded;
    return html`
      <dl class="facts">
        <dt>grid</dt>
        <dd>${grid.join(" × ")} patches (frames, rows, columns)</dd>
        <dt>tokens</dt>
        <dd>${count(tokens)} rows of ${count(columns)} columns</dd>
        <dt>time</dt>
        <dd>${duration(wallMs)}, upload included</dd>
      </dl>
    `;
  }

  #preview(): TemplateResult | typeof nothing {
    if (this.#chosen === undefined) return nothing;
    const { url, file } = this.#chosen;
    return html`
      <figure class="preview">
        <div><img src=${url} alt="The chosen image" />${this.#grid()}</div>
        <figcaption>${file.name}${this.#encoded === undefined ? nothing : "; each cell is one token"}</figcaption>
      </figure>
    `;
  }

  /** One cell per token, if the tokens lie as squares of patches. */
  #grid(): TemplateResult | typeof nothing {
    if (this.#encoded === undefined) return nothing;
    const { grid, tokens } = this.#encoded;
    const [t, h, w] = grid;
    const merge = Math.sqrt((t * h * w) / tokens);
    const [rows, columns] = [h / merge, w / merge];
    const isSquare = Number.isInteger(merge) && Number.isInteger(rows) && Number.isInteger(columns);
    if (!isSquare || Math.max(rows, columns) > MAX_GRID_LINES) return nothing;
    const inner = (lines: number) => Array.from({ length: lines - 1 }, (_, index) => index + 1);
    return html`
      <svg viewBox="0 0 ${columns} ${rows}" preserveAspectRatio="none" aria-hidden="true">
        ${inner(columns).map((x) => svg`<line x1=${x} x2=${x} y1="0" y2=${rows} />`)}
        ${inner(rows).map((y) => svg`<line x1="0" x2=${columns} y1=${y} y2=${y} />`)}
      </svg>
    `;
  }

  #chat(): TemplateResult | typeof nothing {
    if (this.#state?.hasChat !== true || this.#encoded === undefined) return nothing;
    const isAsking = this.#asking !== undefined;
    return html`
      <form class="chat" @submit=${(event: SubmitEvent) => this.#ask(event)}>
        <label>
          Ask about the image
          <input name="question" autocomplete="off" value="What is in this image?" />
        </label>
        ${
          isAsking
            ? html`<button type="button" @click=${() => this.#stop()}>Stop</button>`
            : html`<button class="primary">Ask</button>`
        }
      </form>
      <div class="answer" aria-live="polite" aria-busy=${isAsking ? "true" : "false"}><span>${this.#answer}</span>${this.#answerProblem === "" ? nothing : html`<p class="problem">${this.#answerProblem}</p>`}
      </div>
    `;
  }
}
