/** Fakes for tests of code that uses the scheduler. */
export type {} from "./index.js";
