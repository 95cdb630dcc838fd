/** Fakes for tests and simulations of code that uses the scheduler. */
export { seededRandom } from "./seeded-random.js";
export { VirtualClock } from "./virtual-clock.js";
