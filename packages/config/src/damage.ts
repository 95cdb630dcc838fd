/**
 * Diagnoses JSON damaged by a shell, a template or an editor: the parser's message names the first wrong character,
 * which is seldom the cause.
 *
 * Called only for text that does not parse. The first matching row of the table wins.
 */

export interface Damage {
  readonly fact: string;
  readonly remedy: string;
}

interface DamageRule extends Damage {
  /** Tested on the trimmed text. Linear in its length. */
  readonly trace: RegExp;
  /** `argument`: only an argument can have it, since it has been through a shell. */
  readonly where: "argument" | "anywhere";
}

const SINGLE_QUOTE_IT = `put the whole JSON in single quotes: -cc '{"key": value}'`;

const RULES: readonly DamageRule[] = [
  {
    trace: /^@?[\w./\\~:-]+\.(json|ya?ml)$/i,
    where: "argument",
    fact: "it is the name of a file",
    remedy: 'pass the content, -cc "$(cat FILE)", or use --config FILE',
  },
  {
    trace: /\{\{[^{}"]+\}\}|\{%|<no value>/,
    where: "anywhere",
    fact: "it has braces of a template that was not filled in",
    remedy: "render the template first, and check the values that it names",
  },
  {
    trace: /^\{\{[\s\S]*\}\}$/,
    where: "anywhere",
    fact: "it has doubled braces",
    remedy: "write single ones: doubled braces are an escape of Python's format strings",
  },
  {
    trace: /^(\$\{?\w+\}?|\$\([\s\S]*\)|%\w+%|\$env:\w+)$|:\s*(\$\{?[A-Za-z_]\w*\}?|%\w+%)\s*[,}\]]/,
    where: "anywhere",
    fact: "it names a variable that was not expanded",
    remedy: "set the variable, or write its value: in single quotes and in YAML no shell expands it",
  },
  {
    trace: /[\u2018-\u201F\u2032\u2033\u00AB\u00BB]/,
    where: "anywhere",
    fact: "it has typographic quotes",
    remedy: `type the straight ones, " and ': a word processor or a chat exchanged them`,
  },
  {
    trace: /[\u00A0\u200B-\u200D\u2060]/,
    where: "anywhere",
    fact: "it has invisible characters, such as no-break spaces",
    remedy: "type the text anew: it was copied from a web page or a document",
  },
  {
    trace: /^'[\s\S]*[{[]/,
    where: "argument",
    fact: "it begins with a single quote that the shell should have removed",
    remedy:
      'drop the outer quotes where no shell reads them (exec form, compose list, env file); in cmd.exe write "{\\"key\\": value}"',
  },
  {
    trace: /^[{[]\s*`"|^[{[]\s*\^"/,
    where: "argument",
    fact: "it has escape characters of PowerShell or cmd.exe before its quotes",
    remedy: `remove them, and ${SINGLE_QUOTE_IT}; in cmd.exe write "{\\"key\\": value}"`,
  },
  {
    trace: /^[{[]\s*\\+["']/,
    where: "argument",
    fact: "it has backslashes before its quotes that the shell should have removed",
    remedy: `remove the backslashes inside single quotes: -cc '{"key": value}'`,
  },
  {
    trace: /^[{[]\s*""/,
    where: "argument",
    fact: "its quotes are doubled",
    remedy: "write each quote once: doubling is an escape of CSV, PowerShell and cmd.exe",
  },
  {
    trace: /^[{[]\s*'/,
    where: "argument",
    fact: "its strings are in single quotes",
    remedy: `write double quotes inside and single quotes outside: -cc '{"key": value}'`,
  },
  {
    trace: /^\{\s*[A-Za-z_$][\w$]*\s*:[^"]*$/,
    where: "argument",
    fact: "it has no quotes: the shell took them",
    remedy: SINGLE_QUOTE_IT,
  },
  {
    trace: /^\{[^}]*$/,
    where: "argument",
    fact: "it ends before its closing brace: the shell split it at a space",
    remedy: SINGLE_QUOTE_IT,
  },
];

/** Damage is visible in the first characters, or everywhere. */
const READ_CHARACTERS = 10_000;

/** The cause, if the text has traces of one. */
export function damageOf(text: string, from: "argument" | "text"): Damage | undefined {
  const trimmed = text.slice(0, READ_CHARACTERS).trim();
  return RULES.find(
    ({ trace, where }) => (from === "argument" || where === "anywhere") && trace.test(trimmed),
  );
}

/** The cause, if a text that *is* JSON holds a string where an object should be: the JSON was encoded twice. */
export function doubleEncoding(value: unknown): Damage | undefined {
  if (typeof value !== "string" || !/^\s*[{[]/.test(value)) return undefined;
  return {
    fact: "a JSON string that holds JSON: it was encoded twice",
    remedy:
      "pass the object: remove the outer quotes and the backslashes, or one of two toJson, json.dumps or quote",
  };
}
