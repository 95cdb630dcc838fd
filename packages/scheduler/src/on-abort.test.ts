import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { onAbort, raceAbort } from "./on-abort.js";

test("many callbacks share one listener, which goes with the last of them", () => {
  const { signal } = new AbortController();
  const stops = Array.from({ length: 40 }, () => onAbort(signal, () => {}));
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
  for (const stop of stops) stop();
  stops[0]?.();
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
  onAbort(signal, () => {})();
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
});

test("each callback is called once, but for those that were taken back", () => {
  const controller = new AbortController();
  const called: string[] = [];
  onAbort(controller.signal, () => called.push("a"));
  onAbort(controller.signal, () => called.push("b"))();
  onAbort(controller.signal, () => called.push("c"));
  controller.abort();
  expect(called).toEqual(["a", "c"]);
  expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
});

test("a callback that another one takes back during the abort is not called", () => {
  const controller = new AbortController();
  const called: string[] = [];
  let stop = () => {};
  onAbort(controller.signal, () => {
    called.push("a");
    stop();
  });
  stop = onAbort(controller.signal, () => called.push("b"));
  controller.abort();
  expect(called).toEqual(["a"]);
});

test("a race ends with the promise, or with the reason of a signal that aborts first", async () => {
  const controller = new AbortController();
  await expect(raceAbort(Promise.resolve(1), controller.signal)).resolves.toBe(1);
  await expect(raceAbort(Promise.reject(new Error("work")), controller.signal)).rejects.toThrow("work");
  expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  const race = raceAbort(new Promise(() => {}), controller.signal);
  controller.abort(new Error("stop"));
  await expect(race).rejects.toThrow("stop");
  await expect(raceAbort(new Promise(() => {}), controller.signal)).rejects.toThrow("stop");
});
