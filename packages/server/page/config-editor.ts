/** The editor of the compilation config: CodeMirror, with the linter's findings and completion from the schema. */
import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, linter, lintKeymap } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { completeConfig, type LintFacts, parseCompilationConfig } from "@vitgraph/config";
import { isRecord } from "@vitgraph/errors";
import { applyEdits, modify } from "jsonc-parser";
import { lintConfig, type PlacedFinding } from "./config-lint.js";

export interface ConfigEditorOptions {
  readonly text: string;
  readonly facts: LintFacts;
  readonly onFindings: (findings: readonly PlacedFinding[]) => void;
}

/** Colours come from the page's variables, which follow light and dark. */
const HIGHLIGHT = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--code-key)" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-literal)" },
]);

const THEME = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--paper)", fontSize: "0.875rem" },
  "&.cm-focused": { outline: "2px solid var(--accent)" },
  ".cm-content": { caretColor: "var(--ink)", fontFamily: "var(--mono)", minHeight: "12rem" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-gutters": { color: "var(--faint)", backgroundColor: "var(--card)", border: "none" },
  ".cm-tooltip": { color: "var(--ink)", backgroundColor: "var(--card)", border: "1px solid var(--line)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": {
    color: "var(--on-accent)",
    backgroundColor: "var(--accent)",
  },
  ".cm-completionInfo": { maxWidth: "24rem", padding: "0.5rem" },
  ".cm-diagnosticText": { fontFamily: "var(--sans)" },
  // CodeMirror draws squiggles as data: images, which the page's policy forbids.
  ...Object.fromEntries(
    Object.entries({ error: "--bad", warning: "--eager", info: "--faint" }).map(([severity, color]) => [
      `.cm-lintRange-${severity}`,
      { backgroundImage: "none", textDecoration: `underline wavy var(${color})` },
    ]),
  ),
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--selection)" },
});

/**
 * Text over a selection of several lines is inserted here. The browser would merge the lines, and keep their look by inline
 * styles, which the page's policy forbids.
 */
const typeOverLines = EditorView.domEventHandlers({
  beforeinput({ inputType, data }, view) {
    const { doc, selection } = view.state;
    const { from, to } = selection.main;
    if (inputType !== "insertText" || data === null || doc.lineAt(from).number === doc.lineAt(to).number)
      return false;
    view.dispatch(view.state.replaceSelection(data), { userEvent: "input.type", scrollIntoView: true });
    return true;
  },
});

export class ConfigEditor {
  readonly #view: EditorView;

  /**
   * @param host gets a shadow root: there CodeMirror adopts its style sheets, which a page without inline styles lets it do
   */
  constructor(host: HTMLElement, { text, facts, onFindings }: ConfigEditorOptions) {
    const root = host.attachShadow({ mode: "open" });
    const check = (view: EditorView): readonly Diagnostic[] => {
      const findings = lintConfig(view.state.doc.toString(), facts);
      onFindings(findings);
      return findings.map(({ from, to, severity, message }) => ({
        from,
        to,
        severity: severity === "note" ? "info" : severity,
        message,
      }));
    };
    this.#view = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          json(),
          typeOverLines,
          syntaxHighlighting(HIGHLIGHT),
          autocompletion({ override: [complete], icons: false }),
          linter(check, { delay: 200 }),
          // Tab leaves the editor, as it leaves every field.
          keymap.of([
            ...closeBracketsKeymap,
            ...completionKeymap,
            ...lintKeymap,
            ...historyKeymap,
            ...defaultKeymap,
          ]),
          EditorView.contentAttributes.of({ "aria-label": "Compilation config" }),
          EditorView.lineWrapping,
          THEME,
        ],
      }),
    });
  }

  get text(): string {
    return this.#view.state.doc.toString();
  }

  /** Sets members and keeps the rest of the text; a text that is not JSON is replaced. */
  set(members: Readonly<Record<string, unknown>>): void {
    const formattingOptions = { insertSpaces: true, tabSize: 2 };
    let text = isObject(this.text) ? this.text : "{}";
    for (const [key, value] of Object.entries(members))
      text = applyEdits(text, modify(text, [key], value, { formattingOptions }));
    this.#view.dispatch({ changes: { from: 0, to: this.#view.state.doc.length, insert: text } });
  }

  focus(offset?: number): void {
    if (offset !== undefined) {
      const anchor = Math.min(offset, this.#view.state.doc.length);
      this.#view.dispatch({ selection: { anchor }, scrollIntoView: true });
    }
    this.#view.focus();
  }
}

/** The config as JSON, without the values that are the defaults. */
export function shortestText(config: Readonly<Record<string, unknown>>): string {
  const defaults: Readonly<Record<string, unknown>> = { ...parseCompilationConfig({}).config };
  const given = Object.entries(config).filter(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(defaults[key]),
  );
  return JSON.stringify(Object.fromEntries(given), null, 2);
}

function isObject(text: string): boolean {
  try {
    return isRecord(JSON.parse(text));
  } catch {
    return false;
  }
}

function complete({ state, pos, explicit }: CompletionContext): CompletionResult | null {
  const found = completeConfig(state.doc.toString(), pos);
  if (found === undefined) return null;
  const { from, to, options } = found;
  // Unless the user asks for the list, it opens only where something has been typed.
  if (!explicit && from === pos) return null;
  // Inside quotes the quotes are part of what is typed.
  const isQuoted = state.sliceDoc(from, from + 1) === '"';
  return {
    from,
    to,
    options: options.map(
      ({ label, detail, description, insert, isEncoders }): Completion => ({
        label: isQuoted && !label.startsWith('"') ? `"${label}"` : label,
        displayLabel: label,
        ...(detail === undefined ? {} : { detail }),
        ...(description === undefined ? {} : { info: description }),
        apply: insert,
        boost: isEncoders ? 1 : 0,
      }),
    ),
    validFor: /^"?[\w$.-]*"?$/,
  };
}
