/**
 * The entry point @vitgraph/scheduler/testing: fakes for tests and simulations of code that uses the scheduler.
 *
 * @module @vitgraph/scheduler/testing
 */
export { seededRandom } from "./seeded-random.js";
export { VirtualClock } from "./virtual-clock.js";
