import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { LoopTurns } from "./loop-turns.js";

test("each iteration of the event loop has one turn", async () => {
  const turns = new LoopTurns();
  let taken = 0;
  for (let index = 0; index < 5; index++) void turns.take("a").then(() => taken++);
  const counts: number[] = [];
  for (let iteration = 0; iteration < 6; iteration++) {
    counts.push(taken);
    await setImmediate();
  }
  expect(counts).toEqual([0, 1, 2, 3, 4, 5]);
});

test("behind a flood, another caller's turns come one for one", async () => {
  const turns = new LoopTurns();
  const order: string[] = [];
  const take = (caller: string) => turns.take(caller).then(() => order.push(caller));
  const flood = Array.from({ length: 100 }, () => take("flood"));
  await flood[10];
  await Promise.all([take("a"), take("a"), take("a")]);
  expect(order.slice(11).filter((caller) => caller === "flood").length).toBeLessThanOrEqual(4);
  await Promise.all(flood);
});

test("a line that has been empty starts again", async () => {
  const turns = new LoopTurns();
  await turns.take("a");
  await setImmediate();
  await turns.take("b");
});
