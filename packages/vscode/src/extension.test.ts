/**
 * The extension against a small VS Code: a document, the providers that the extension registers, and the edits that it
 * returns. The API's shapes are checked by its types; a real VS Code is not started.
 */
import { beforeEach, expect, test, vi } from "vitest";

/** The providers and listeners that the extension registered. */
const registered = vi.hoisted(() => ({
  completion: undefined as unknown,
  hover: undefined as unknown,
  actions: undefined as unknown,
  diagnostics: new Map<string, readonly unknown[]>(),
  listeners: {} as Record<string, (event: unknown) => void>,
}));

vi.mock("vscode", () => {
  class Position {
    constructor(
      readonly line: number,
      readonly character: number,
    ) {}
  }
  class Range {
    constructor(
      readonly start: Position,
      readonly end: Position,
    ) {}
    intersection(other: Range): Range | undefined {
      const key = ({ line, character }: Position) => line * 10_000 + character;
      const isApart = key(this.end) < key(other.start) || key(other.end) < key(this.start);
      return isApart ? undefined : this;
    }
  }
  class Kind {
    constructor(readonly value: string) {}
    append(part: string): Kind {
      return new Kind(`${this.value}.${part}`);
    }
    contains(other: Kind): boolean {
      return other.value === this.value || other.value.startsWith(`${this.value}.`);
    }
  }
  class WorkspaceEdit {
    readonly edits: { uri: unknown; range: Range; text: string }[] = [];
    replace(uri: unknown, range: Range, text: string): void {
      this.edits.push({ uri, range, text });
    }
  }
  const listen = (name: string) => (listener: (event: unknown) => void) => {
    registered.listeners[name] = listener;
    return { dispose() {} };
  };
  const keep = (name: "completion" | "hover" | "actions") => (_selector: unknown, provider: unknown) => {
    registered[name] = provider;
    return { dispose() {} };
  };
  return {
    Position,
    Range,
    WorkspaceEdit,
    Diagnostic: class {
      constructor(
        readonly range: Range,
        readonly message: string,
        readonly severity: number,
      ) {}
    },
    CompletionItem: class {
      constructor(
        readonly label: string,
        readonly kind: number,
      ) {}
    },
    Hover: class {
      constructor(
        readonly contents: unknown,
        readonly range: Range,
      ) {}
    },
    MarkdownString: class {
      constructor(readonly value: string) {}
    },
    CodeAction: class {
      constructor(
        readonly title: string,
        readonly kind: Kind,
      ) {}
    },
    CodeActionKind: { QuickFix: new Kind("quickfix"), SourceFixAll: new Kind("source.fixAll") },
    CompletionItemKind: { Property: 9 },
    DiagnosticSeverity: { Error: 0, Warning: 1, Information: 2, Hint: 3 },
    workspace: {
      textDocuments: [],
      onDidOpenTextDocument: listen("open"),
      onDidChangeTextDocument: listen("change"),
      onDidCloseTextDocument: listen("close"),
    },
    languages: {
      match: (_selector: unknown, { languageId }: { languageId: string }) => (languageId === "yaml" ? 10 : 0),
      createDiagnosticCollection: () => ({
        set: (uri: string, found: readonly unknown[]) => registered.diagnostics.set(uri, found),
        delete: (uri: string) => registered.diagnostics.delete(uri),
        dispose: () => registered.diagnostics.clear(),
      }),
      registerCompletionItemProvider: keep("completion"),
      registerHoverProvider: keep("hover"),
      registerCodeActionsProvider: keep("actions"),
    },
  };
});

const vscode = await import("vscode");
const { activate } = await import("./extension.js");

function documentOf(text: string, languageId = "yaml") {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const offsetAt = ({ line, character }: { line: number; character: number }) => starts[line]! + character;
  return {
    uri: "file:///a.yaml",
    fileName: "/a.yaml",
    languageId,
    isClosed: false,
    offsetAt,
    positionAt(offset: number) {
      const line = starts.findLastIndex((start) => start <= offset);
      return new vscode.Position(line, offset - starts[line]!);
    },
    getText: (range?: {
      start: { line: number; character: number };
      end: { line: number; character: number };
    }) => (range === undefined ? text : text.slice(offsetAt(range.start), offsetAt(range.end))),
  };
}

type Document = ReturnType<typeof documentOf>;

/** The text after a code action. */
function applied(document: Document, edit: unknown): string {
  const { edits } = edit as { edits: { range: Parameters<Document["getText"]>[0]; text: string }[] };
  return edits.reduceRight(
    (text, { range, text: added }) =>
      text.slice(0, document.offsetAt(range!.start)) + added + text.slice(document.offsetAt(range!.end)),
    document.getText(),
  );
}

const TYPO = `compilation-config: '{"cudagraph_mm_encodre": true}'\n`;
const RIGHT = TYPO.replace("encodre", "encoder");

const subscriptions: { dispose(): void }[] = [];

beforeEach(() => {
  for (const each of subscriptions.splice(0)) each.dispose();
  activate({ subscriptions } as never);
});

function provide<T>(
  name: "completion" | "hover" | "actions",
  method: string,
  ...args: readonly unknown[]
): T {
  return (registered[name] as Record<string, (...args: readonly unknown[]) => T>)[method]!(...args);
}

test("an opened file is checked, a closed one is forgotten, and files of other languages are left alone", () => {
  registered.listeners.open!(documentOf(TYPO));
  expect(registered.diagnostics.get("file:///a.yaml")).toMatchObject([
    {
      range: { start: { line: 0, character: 22 }, end: { line: 0, character: 44 } },
      severity: 0,
      source: "vitgraph",
    },
  ]);
  registered.listeners.close!(documentOf(TYPO));
  expect(registered.diagnostics.size).toBe(0);
  registered.listeners.open!(documentOf(TYPO, "markdown"));
  expect(registered.diagnostics.size).toBe(0);
});

test("a changed file is checked after a pause", () => {
  vi.useFakeTimers();
  registered.listeners.open!(documentOf(TYPO));
  registered.listeners.change!({ document: documentOf(RIGHT) });
  expect(registered.diagnostics.get("file:///a.yaml")).toHaveLength(1);
  vi.advanceTimersByTime(1000);
  expect(registered.diagnostics.get("file:///a.yaml")).toHaveLength(0);
  vi.useRealTimers();
});

test("a quick fix stands where its squiggle does, and corrects the text", () => {
  const document = documentOf(TYPO);
  const at = (offset: number) => new vscode.Range(document.positionAt(offset), document.positionAt(offset));
  type Actions = readonly { title: string; edit: unknown }[];
  const [action, ...others] = provide<Actions>("actions", "provideCodeActions", document, at(25), {});
  expect(action?.title).toBe('Rename to "cudagraph_mm_encoder"');
  expect(others).toEqual([]);
  expect(applied(document, action?.edit)).toBe(RIGHT);
  expect(provide<Actions>("actions", "provideCodeActions", document, at(3), {})).toEqual([]);
  const only = vscode.CodeActionKind.SourceFixAll;
  const [all] = provide<Actions>("actions", "provideCodeActions", document, at(0), { only });
  expect(applied(document, all?.edit)).toBe(RIGHT);
});

test("completion replaces the quoted word, and matches against it", () => {
  const document = documentOf(`compilation-config: '{"cuda"}'\n`);
  type Items = readonly { label: string; insertText: string; filterText: string; sortText: string }[];
  const items = provide<Items>("completion", "provideCompletionItems", document, document.positionAt(27));
  expect(items.find(({ label }) => label === "cudagraph_mm_encoder")).toMatchObject({
    insertText: '"cudagraph_mm_encoder": ',
    filterText: '"cudagraph_mm_encoder"',
    sortText: "0cudagraph_mm_encoder",
    range: { start: { character: 22 }, end: { character: 28 } },
  });
});

test("hover is markdown over the key", () => {
  const document = documentOf(RIGHT);
  type Found = { contents: { value: string }; range: unknown } | undefined;
  const found = provide<Found>("hover", "provideHover", document, document.positionAt(30));
  expect(found?.contents.value).toContain("**cudagraph_mm_encoder**");
  expect(found?.range).toMatchObject({ start: { character: 22 }, end: { character: 44 } });
  expect(provide<Found>("hover", "provideHover", document, document.positionAt(3))).toBeUndefined();
});
