import { packageBuild } from "../../tsup.base.js";
// @ts-expect-error a script without types
import { buildPage } from "./page/build.mjs";

export default packageBuild({ index: "src/index.ts" }, { onSuccess: () => buildPage() });
