import { packageBuild } from "../../tsup.base.js";

export default packageBuild({
  index: "src/index.ts",
  contract: "src/plugin/contract.ts",
  observability: "src/observability/index.ts",
  testing: "src/testing.ts",
});
