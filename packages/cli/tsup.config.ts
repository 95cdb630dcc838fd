import { packageBuild } from "../../tsup.base.js";

export default packageBuild(
  { index: "src/index.ts", cli: "src/cli.ts", testing: "src/testing.ts" },
  // Inlined: importing JSON needs import attributes, which Node's versions spell differently.
  { noExternal: [/schema\.json$/] },
);
