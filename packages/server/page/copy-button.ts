/** A button that copies a text; nothing where the browser has no clipboard for the page: over HTTP from another machine. */
import { html, nothing, type TemplateResult } from "lit-html";

const CONFIRMED_MS = 1500;

export function copyButton(text: () => string): TemplateResult | typeof nothing {
  const clipboard: Clipboard | undefined = navigator.clipboard;
  if (clipboard === undefined) return nothing;
  const copy = async ({ currentTarget }: Event) => {
    const label = (currentTarget as HTMLElement).querySelector("span") as HTMLElement;
    await clipboard.writeText(text());
    label.textContent = "Copied";
    setTimeout(() => {
      label.textContent = "Copy";
    }, CONFIRMED_MS);
  };
  return html`<button type="button" @click=${copy}><span role="status">Copy</span></button>`;
}
