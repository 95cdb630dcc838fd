/** Fakes for tests of code that uses the scheduler. */
export { VirtualClock } from "./virtual-clock.js";
