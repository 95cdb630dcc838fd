import { defineConfig } from "vitest/config";

/** Tests resolve the workspace's packages to their sources, so that they never watch a stale build, and others as Node does. */
const conditions = ["vitgraph-source", "node", "import", "default"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    setupFiles: [new URL("vitest.seed.ts", import.meta.url).pathname],
    include: ["**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"],
    // A slow machine is no failure: these only end what hangs.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
