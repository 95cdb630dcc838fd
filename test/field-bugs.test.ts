/** The scenarios of field-bugs.ts on every backend of this machine. */
import { createDevice, describeBackends } from "@vitgraph/core";
import { describe, test } from "vitest";
import { runScenario, SCENARIOS } from "./field-bugs.js";
import { TINY } from "./fixtures.js";

/** f32 on both sides; or bf16 against f32 over four layers, where a stale or missing row is off by more than 1. */
const TOLERANCES = { cpu: 1e-5, cuda: 3e-2 } as const;

const { backends } = describeBackends();

describe.each(["cpu", "cuda"] as const)("%s", (backend) => {
  const { usable } = backends[backend];
  if (!usable)
    console.warn(`field bugs: SKIPPED on ${backend}, which is not usable here (see \`vitgraph doctor\`)`);
  test.skipIf(!usable).each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    "%s",
    async (_, scenario) => {
      using device = createDevice({ backend });
      await runScenario(scenario, device, TINY, TOLERANCES[backend]);
    },
  );
});
