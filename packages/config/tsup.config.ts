import { packageBuild } from "../../tsup.base.js";

export default packageBuild(
  { index: "src/index.ts", yaml: "src/yaml.ts" },
  {
    // The package has no dependency but the errors: the JSON parser is built in.
    noExternal: ["jsonc-parser"],
    external: ["yaml"],
    esbuildOptions(options) {
      // jsonc-parser's "main" is UMD, whose require calls no bundler can follow; its "module" is plain ESM.
      options.mainFields = ["module", "main"];
    },
  },
);
