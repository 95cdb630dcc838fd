/**
 * Checks that a host keeps its part of the plugin contract: a list of named checks for any test runner.
 *
 *     for (const { name, run } of hostConformance(() => new MyHostUnderTest())) test(name, run);
 *
 * Each check creates a host and closes it. The registered encoder is a fake, so the checks need no checkpoint and no
 * device. A failed check throws an AssertionError that states the host's behaviour and the required one.
 */
import assert from "node:assert/strict";
import type { EngineItem } from "../engine/engine-item.js";
import type { EncodeOptions } from "../engine/engine-options.js";
import { nextTurn } from "../next-turn.js";
import { checkConfig, checkModel, checkShape, checkVersion } from "../plugin/check-host.js";
import {
  type HostEngine,
  MODALITIES,
  type Modality,
  type MultimodalEncoder,
  type Registration,
} from "../plugin/contract.js";
import { createEncoderPlugin, multimodalEncoder } from "../plugin/encoder-plugin.js";
import type { Embedding } from "../runtime/embedding.js";
import { FakeEngine, fakeItem } from "./fake-engine.js";

/** Options of a request. `signal` aborts when the client disconnects. */
export type ServeOptions = Pick<EncodeOptions, "signal" | "priority" | "timeoutMs" | "caller">;

/** A host, with the functions that a check calls. */
export interface HostUnderTest {
  readonly host: HostEngine;
  /**
   * Serves a request with these items: the registered encoder encodes them, through the same code path as in
   * production. Returns one outcome per item, in order. Rejects if no encoder is registered for the modality.
   */
  serve(
    modality: Modality,
    items: readonly EngineItem[],
    options?: ServeOptions,
  ): Promise<readonly PromiseSettledResult<Pick<Embedding, "data">>[]>;
  /** Shuts the host down. Further calls have no effect. */
  close(): Promise<void>;
}

/** One required behaviour of a host, as a test. */
export interface ConformanceCheck {
  /** The required behaviour, as a sentence. */
  readonly name: string;
  /** @throws AssertionError, or the host's error */
  run(): Promise<void>;
}

type MakeHost = () => HostUnderTest | Promise<HostUnderTest>;

/**
 * A host whose requests have no priority, time limit or caller filters out the checks of these by name.
 * @param makeHost a fresh host, without an encoder from a plugin, for each check
 */
export function hostConformance(makeHost: MakeHost): readonly ConformanceCheck[] {
  return Object.entries(CHECKS).map(([name, check]) => ({
    name,
    run: async () => {
      const subject = await makeHost();
      try {
        await check(subject);
      } finally {
        await subject.close();
      }
    },
  }));
}

/** A host with the fake engine's encoder registered. */
interface Joined {
  readonly registration: Registration;
  readonly engine: FakeEngine;
  /** A modality that the host does not encode itself. */
  readonly modality: Modality;
}

const CHECKS: Readonly<Record<string, (subject: HostUnderTest) => Promise<void>>> = {
  "has every part of the contract": async ({ host }) => checkShape(host),

  "speaks version 1 of the specification": async ({ host }) => checkVersion(host),

  "serves a model that vitgraph encodes": async ({ host }) => {
    checkModel(host);
  },

  "hands over a compilation config that is valid": async ({ host }) => {
    checkConfig(host);
  },

  "has a logger that takes fields and a message": async ({ host: { logger } }) => {
    for (const level of ["debug", "info", "warn", "error"] as const) {
      assert.doesNotThrow(() => logger?.[level]({}, "conformance"), `its logger throws at level ${level}`);
    }
  },

  "lists a modality as taken while it has an encoder": async (subject) => {
    const { modality, registration } = await join(subject);
    const listed = () => subject.host.takenModalities().includes(modality);
    assert.ok(listed(), `${modality} has an encoder, and takenModalities() does not list it`);
    await registration.close();
    assert.ok(!listed(), `${modality} has lost its encoder, and takenModalities() still lists it`);
  },

  "refuses a second encoder for a modality": async (subject) => {
    const { modality, registration } = await join(subject);
    assert.throws(
      () => subject.host.registerMultimodalEncoder(modality, registration.encoder),
      `it takes a second encoder for ${modality}: it must throw`,
    );
  },

  "sends nothing to an encoder that was taken off": async (subject) => {
    const { modality, registration, engine } = await join(subject);
    await registration.close();
    const [served] = await Promise.allSettled([subject.serve(modality, [fakeItem(1)])]);
    assert.equal(engine.calls.length, 0, "the encoder that was taken off was called");
    assert.equal(
      served.status,
      "rejected",
      `a request for ${modality}, which nobody encodes, must be rejected`,
    );
  },

  "takes an encoder again when the one before has left": async (subject) => {
    await (await join(subject)).registration.close();
    const { modality, engine } = await join(subject);
    await subject.serve(modality, [fakeItem(1)]);
    assert.equal(engine.calls.length, 1, "the second encoder was not asked");
  },

  "is not confused when an encoder is taken off twice": async ({ host }) => {
    const modality = free(host)[0] as Modality;
    const takeFirstOff = host.registerMultimodalEncoder(modality, bareEncoder());
    takeFirstOff();
    const takeSecondOff = host.registerMultimodalEncoder(modality, bareEncoder());
    takeFirstOff();
    const listed = host.takenModalities().includes(modality);
    assert.ok(listed, "taking the first encoder off once more took the second one off");
    takeSecondOff();
  },

  "keeps the items' order, and hands their rows on as they are": async (subject) => {
    const { modality, engine } = await join(subject);
    const items = [3, 1, 2].map(fakeItem);
    const outcomes = await subject.serve(modality, items);
    assert.deepEqual(
      outcomes.map(markOf),
      [3, 1, 2],
      "the outcomes are not those of the items, in their order",
    );
    const asked = engine.calls.flatMap((call) => call.items);
    assert.equal(asked.length, 3, "three items of a request are not three items of the encoder");
  },

  "lets an item that fails fail alone": async (subject) => {
    const { modality } = await join(subject);
    const outcomes = await subject.serve(modality, [1, Number.NaN, 3].map(fakeItem)).catch((error) => {
      assert.fail(`one bad item of three fails the whole request (${String(error)})`);
    });
    assert.deepEqual(outcomes.map(markOf), [1, "rejected", 3], "the other items must be served");
  },

  "passes a cancellation on to the encoder": async (subject) => {
    const { modality, engine } = await join(subject);
    engine.hold();
    const client = new AbortController();
    const answer = Promise.allSettled([subject.serve(modality, [fakeItem(1)], { signal: client.signal })]);
    const called = await eventually(() => engine.calls.length > 0);
    client.abort();
    const heard = await eventually(() => engine.calls[0]?.options.signal?.aborted === true);
    engine.release();
    await answer;
    assert.ok(called, "the request did not reach the encoder");
    assert.ok(heard, "the client went away, and the signal that the encoder has did not abort");
  },

  "passes a request's priority on": async (subject) => {
    const priorities = [7, -3];
    const passed: unknown[] = [];
    for (const priority of priorities) passed.push((await callOf(subject, { priority })).options.priority);
    assert.deepEqual(passed, priorities, "the encoder was called with another priority than the request's");
  },

  "passes a request's time limit on, in milliseconds from now": async (subject) => {
    const { timeoutMs } = (await callOf(subject, { timeoutMs: TIME_LIMIT_MS })).options;
    assert.ok(
      timeoutMs !== undefined,
      "the request has a time limit, and the encoder was called without one",
    );
    // A host may subtract the time that the request has taken so far.
    assert.ok(
      timeoutMs <= TIME_LIMIT_MS && timeoutMs > TIME_LIMIT_MS / 2,
      `a time limit of ${TIME_LIMIT_MS} ms reached the encoder as timeoutMs ${timeoutMs}: pass the milliseconds left`,
    );
  },

  "passes a request's caller on": async (subject) => {
    const callers = ["tenant a", "tenant b"];
    const passed: unknown[] = [];
    for (const caller of callers) passed.push((await callOf(subject, { caller })).options.caller);
    assert.deepEqual(passed, callers, "the encoder was called with another caller than the request's");
  },

  "passes the items' uuids on": async (subject) => {
    const uuids = ["photo 1", "photo 2"];
    const items = uuids.map((uuid, index) => ({ ...fakeItem(index), uuid }));
    const passed = (await callOf(subject, {}, items)).items.map(({ uuid }) => uuid);
    assert.deepEqual(passed, uuids, "the encoder was given other uuids than the request's items have");
  },

  "keeps requests that run at the same time apart": async (subject) => {
    const { modality } = await join(subject);
    const requests = [[1, 2], [3], [4, 5, 6]];
    const answers = await Promise.all(
      requests.map((values) => subject.serve(modality, values.map(fakeItem))),
    );
    assert.deepEqual(
      answers.map((outcomes) => outcomes.map(markOf)),
      requests,
      "a request was answered with another one's embeddings",
    );
  },

  "closes its registration, and waits for that, before it is closed": async (subject) => {
    // Without onClose, the code that registered the encoder must unregister it.
    if (subject.host.onClose === undefined) return;
    const { engine } = await join(subject, { closesSlowly: true });
    await subject.close();
    assert.ok(
      engine.closed,
      "the host is closed, and the engine is not: call the listener of onClose, and await it",
    );
  },
};

/** An engine whose `close` takes a while, as if it had work to finish. */
class SlowlyClosingEngine extends FakeEngine {
  override async close(): Promise<void> {
    for (let turns = 0; turns < 3; turns++) await nextTurn();
    await super.close();
  }
}

async function join(
  { host }: HostUnderTest,
  { closesSlowly = false }: { readonly closesSlowly?: boolean } = {},
): Promise<Joined> {
  const modalities = free(host);
  const { outputColumns } = checkModel(host);
  const Engine = closesSlowly ? SlowlyClosingEngine : FakeEngine;
  const engine = new Engine({ outputColumns });
  const plugin = createEncoderPlugin({
    model: "none: the fake engine reads no checkpoint",
    modalities,
    createEngine: async ({ observers = [] }) => {
      for (const observer of observers) engine.subscribe(observer);
      return engine;
    },
  });
  const registration = await plugin.register(host);
  return { registration, engine, modality: modalities[0] as Modality };
}

/** Returns the encoder call that a request with these options causes. Unregisters the encoder. */
async function callOf(
  subject: HostUnderTest,
  options: ServeOptions,
  items: readonly EngineItem[] = [fakeItem(1)],
): Promise<FakeEngine["calls"][number]> {
  const { modality, engine, registration } = await join(subject);
  await subject.serve(modality, items, options);
  await registration.close();
  assert.equal(engine.calls.length, 1, "the items of one request must be one call of the encoder");
  return engine.calls[0] as FakeEngine["calls"][number];
}

/** An encoder that is independent of any engine. */
function bareEncoder(): MultimodalEncoder {
  return multimodalEncoder(new FakeEngine(), MODALITIES);
}

function free(host: HostEngine): readonly Modality[] {
  const taken = host.takenModalities();
  const modalities = MODALITIES.filter((modality) => !taken.includes(modality));
  assert.ok(
    modalities.length > 0,
    `all of ${MODALITIES.join(", ")} have an encoder: one must be free for the checks`,
  );
  return modalities;
}

/** The item's value in an outcome of {@link FakeEngine}, which identifies the item. */
function markOf(outcome: PromiseSettledResult<Pick<Embedding, "data">>): number | "rejected" | undefined {
  return outcome.status === "rejected" ? "rejected" : outcome.value.data[0];
}

/** Long, so that time subtracted by a host is small in comparison, and seconds cannot be mistaken for milliseconds. */
const TIME_LIMIT_MS = 60_000;

/** Maximum wait for asynchronous behaviour of the host. */
const PATIENCE_MS = 5000;

async function eventually(condition: () => boolean): Promise<boolean> {
  const until = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return true;
}
