/** The extension's entry point: passes VS Code's documents to the language service, and its results to VS Code. */
import * as vscode from "vscode";
import {
  completions,
  type Diagnostic,
  diagnostics,
  fixAll,
  hover,
  type TextFile,
} from "./language-service.js";

const SOURCE = "vitgraph";
const FIX_ALL = vscode.CodeActionKind.SourceFixAll.append(SOURCE);
const TYPING_PAUSE_MS = 200;

const SELECTOR: vscode.DocumentSelector = [
  { language: "yaml" },
  { language: "dockercompose" },
  { language: "helm" },
  { pattern: "**/*.cc.json" },
];

export function activate(context: vscode.ExtensionContext): void {
  const found = new Findings();
  context.subscriptions.push(
    found,
    vscode.workspace.onDidOpenTextDocument((document) => found.check(document)),
    vscode.workspace.onDidChangeTextDocument(({ document }) => found.checkSoon(document)),
    vscode.workspace.onDidCloseTextDocument((document) => found.forget(document)),
    vscode.languages.registerCompletionItemProvider(
      SELECTOR,
      { provideCompletionItems: completionItems },
      '"',
      ".",
      "=",
      ":",
    ),
    vscode.languages.registerHoverProvider(SELECTOR, { provideHover: hoverAt }),
    vscode.languages.registerCodeActionsProvider(
      SELECTOR,
      { provideCodeActions: codeActions },
      { providedCodeActionKinds: [vscode.CodeActionKind.QuickFix, FIX_ALL] },
    ),
  );
  for (const document of vscode.workspace.textDocuments) found.check(document);
}

/** The diagnostics of the open documents. */
class Findings {
  readonly #collection = vscode.languages.createDiagnosticCollection(SOURCE);
  readonly #timers = new Map<string, NodeJS.Timeout>();

  check(document: vscode.TextDocument): void {
    if (vscode.languages.match(SELECTOR, document) === 0) return;
    const found = diagnostics(fileOf(document)).map((each) => diagnosticOf(each, document));
    this.#collection.set(document.uri, found);
  }

  checkSoon(document: vscode.TextDocument): void {
    const key = document.uri.toString();
    clearTimeout(this.#timers.get(key));
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        if (!document.isClosed) this.check(document);
      }, TYPING_PAUSE_MS),
    );
  }

  forget(document: vscode.TextDocument): void {
    this.#collection.delete(document.uri);
  }

  dispose(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#collection.dispose();
  }
}

const SEVERITIES: Readonly<Record<Diagnostic["severity"], vscode.DiagnosticSeverity>> = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  note: vscode.DiagnosticSeverity.Hint,
};

function diagnosticOf(
  { start, end, severity, message, rule }: Diagnostic,
  document: vscode.TextDocument,
): vscode.Diagnostic {
  const diagnostic = new vscode.Diagnostic(rangeOf(document, start, end), message, SEVERITIES[severity]);
  diagnostic.source = SOURCE;
  if (rule !== undefined) diagnostic.code = rule;
  return diagnostic;
}

function completionItems(document: vscode.TextDocument, position: vscode.Position): vscode.CompletionItem[] {
  return completions(fileOf(document), document.offsetAt(position)).map(
    ({ label, detail, documentation, isEncoders, edit }) => {
      const item = new vscode.CompletionItem(label, vscode.CompletionItemKind.Property);
      item.range = rangeOf(document, edit.start, edit.end);
      item.insertText = edit.text;
      // VS Code matches against the replaced characters, quotes included.
      item.filterText = document.getText(item.range).startsWith('"') ? `"${label}"` : label;
      item.sortText = `${isEncoders ? 0 : 1}${label}`;
      if (detail !== undefined) item.detail = detail;
      if (documentation !== undefined) item.documentation = documentation;
      return item;
    },
  );
}

function hoverAt(document: vscode.TextDocument, position: vscode.Position): vscode.Hover | undefined {
  const found = hover(fileOf(document), document.offsetAt(position));
  if (found === undefined) return undefined;
  return new vscode.Hover(
    new vscode.MarkdownString(found.markdown),
    rangeOf(document, found.start, found.end),
  );
}

function codeActions(
  document: vscode.TextDocument,
  range: vscode.Range,
  { only }: vscode.CodeActionContext,
): vscode.CodeAction[] {
  const file = fileOf(document);
  if (only?.contains(FIX_ALL)) {
    const all = new vscode.CodeAction("Fix all of vitgraph's findings", FIX_ALL);
    all.edit = workspaceEdit(document, fixAll(file));
    return [all];
  }
  return diagnostics(file).flatMap((found) => {
    if (
      found.fix === undefined ||
      range.intersection(rangeOf(document, found.start, found.end)) === undefined
    )
      return [];
    const action = new vscode.CodeAction(sentence(found.fix.title), vscode.CodeActionKind.QuickFix);
    action.diagnostics = [diagnosticOf(found, document)];
    action.edit = workspaceEdit(document, found.fix.edits);
    return [action];
  });
}

function workspaceEdit(
  document: vscode.TextDocument,
  edits: ReturnType<typeof fixAll>,
): vscode.WorkspaceEdit {
  const all = new vscode.WorkspaceEdit();
  for (const { start, end, text } of edits) all.replace(document.uri, rangeOf(document, start, end), text);
  return all;
}

function fileOf(document: vscode.TextDocument): TextFile {
  return { name: document.fileName, text: document.getText() };
}

function rangeOf(document: vscode.TextDocument, start: number, end: number): vscode.Range {
  return new vscode.Range(document.positionAt(start), document.positionAt(end));
}

function sentence(title: string): string {
  return title.charAt(0).toUpperCase() + title.slice(1);
}
