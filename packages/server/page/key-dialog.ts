/** Asks for the server's API key. */
import { html, nothing, render } from "lit-html";

/** Resolves with a key; the dialog cannot be left without one, since the page shows nothing then. */
export function askKey(dialog: HTMLDialogElement, isWrong: boolean): Promise<string> {
  return new Promise((resolve) => {
    const submit = (event: SubmitEvent) => {
      event.preventDefault();
      const input = dialog.querySelector("input") as HTMLInputElement;
      const key = input.value.trim();
      // A header cannot carry other characters.
      if (!/^[\x21-\x7e]+$/.test(key)) return;
      input.value = "";
      dialog.close();
      resolve(key);
    };
    const template = html`
      <form @submit=${submit}>
        <h2 id="key-heading">This server needs an API key</h2>
        ${isWrong ? html`<p class="problem" role="alert">The server refused the key.</p>` : nothing}
        <label>
          API key
          <input type="password" autocomplete="off" spellcheck="false" required autofocus />
        </label>
        <p class="hint">It stays in this tab until you close it.</p>
        <button class="primary">Continue</button>
      </form>
    `;
    render(template, dialog);
    dialog.oncancel = (event) => event.preventDefault();
    if (!dialog.open) dialog.showModal();
  });
}
