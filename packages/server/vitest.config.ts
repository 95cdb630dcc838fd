import { mergeConfig } from "vitest/config";
import base from "../../vitest.base.js";

/** The page is bundled anew, so that its tests never watch a stale build. */
export default mergeConfig(base, { test: { globalSetup: ["page/build.mjs"] } });
