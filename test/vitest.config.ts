import { mergeConfig } from "vitest/config";
import base from "../vitest.base.js";

/** `hosts` is a package of its own. */
export default mergeConfig(base, { test: { exclude: ["hosts/**"] } });
