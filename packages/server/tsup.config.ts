import { packageBuild } from "../../tsup.base.js";
import buildPage from "./page/build.js";

export default packageBuild({ index: "src/index.ts" }, { onSuccess: () => buildPage() });
