import { packageBuild } from "../../tsup.base.js";

export default packageBuild(
  { extension: "src/extension.ts" },
  {
    // VS Code loads one CommonJS file, with all that it needs inside.
    format: ["cjs"],
    dts: false,
    sourcemap: false,
    splitting: false,
    shims: false,
    minify: true,
    noExternal: [/^(?!vscode$)/],
    external: ["vscode"],
  },
);
