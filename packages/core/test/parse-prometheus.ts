/**
 * A strict reader of Prometheus' text format 0.0.4, for tests: what a scraper would refuse, it refuses too, naming the
 * line. Histograms are checked for what makes them histograms.
 */

export interface ParsedMetric {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly ParsedSample[];
}

export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|(?=\}))/;

export function parsePrometheus(text: string): ReadonlyMap<string, ParsedMetric> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const metrics = new Map<string, { type: string; help: string; samples: ParsedSample[] }>();
  let help: { name: string; text: string } | undefined;
  let current: string | undefined;
  const seen = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, keyword, name, rest] = comment as unknown as [string, string, string, string];
      if (keyword === "HELP") {
        if (metrics.has(name)) throw new Error(`second HELP of a metric: ${line}`);
        help = { name, text: unescaped(rest) };
      } else {
        if (help?.name !== name) throw new Error(`TYPE without HELP: ${line}`);
        if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`no such type: ${line}`);
        metrics.set(name, { type: rest, help: help.text, samples: [] });
        current = name;
      }
      continue;
    }
    const sample = parseSample(line);
    const owner = current === undefined ? undefined : metrics.get(current);
    if (owner === undefined || current === undefined) throw new Error(`a sample before any TYPE: ${line}`);
    const names =
      owner.type === "histogram" ? [`${current}_bucket`, `${current}_sum`, `${current}_count`] : [current];
    if (!names.includes(sample.name))
      throw new Error(`a sample of another metric within ${current}: ${line}`);
    const identity = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
    if (seen.has(identity)) throw new Error(`the same sample twice: ${line}`);
    seen.add(identity);
    owner.samples.push(sample);
  }
  for (const [name, { type, samples }] of metrics) if (type === "histogram") checkHistogram(name, samples);
  return metrics;
}

function parseSample(line: string): ParsedSample {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw new Error(`no metric name: ${line}`);
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith("{")) {
    rest = rest.slice(1);
    while (!rest.startsWith("}")) {
      const label = LABEL.exec(rest);
      if (label === null) throw new Error(`no label at "${rest}": ${line}`);
      labels[label[1] as string] = unescaped(label[2] as string);
      rest = rest.slice(label[0].length);
    }
    rest = rest.slice(1);
  }
  const value = /^ (\S+)$/.exec(rest)?.[1];
  if (value === undefined) throw new Error(`no value: ${line}`);
  const number = value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value);
  if (Number.isNaN(number)) throw new Error(`no number: ${line}`);
  return { name, labels, value: number };
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
}

function checkHistogram(name: string, samples: readonly ParsedSample[]): void {
  const byLabels = new Map<string, ParsedSample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(Object.entries(labels).sort());
    byLabels.set(key, [...(byLabels.get(key) ?? []), sample]);
  }
  for (const [labels, group] of byLabels) {
    const where = `${name}${labels}`;
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels: { le } }) =>
      le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le),
    );
    const counts = buckets.map(({ value }) => value);
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${where} does not end with +Inf`);
    if (bounds.some((bound, index) => index > 0 && bound <= (bounds[index - 1] as number))) {
      throw new Error(`${where} has bounds out of order`);
    }
    if (counts.some((count, index) => index > 0 && count < (counts[index - 1] as number))) {
      throw new Error(`${where} is not cumulative`);
    }
    const count = group.find((sample) => sample.name === `${name}_count`)?.value;
    if (count === undefined || count !== counts.at(-1)) throw new Error(`${where}_count is not that of +Inf`);
    if (!group.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${where} has no sum`);
  }
}
