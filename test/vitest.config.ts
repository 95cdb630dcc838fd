import { mergeConfig } from "vitest/config";
import base from "../vitest.base.js";

/** `hosts` and `install` are packages of their own. */
export default mergeConfig(base, { test: { exclude: ["hosts/**", "install/**"] } });
