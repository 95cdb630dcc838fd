/**
 * The entry point `@vitgraph/config/yaml`: YAML documents with the position of each value, and the compilation configs in
 * YAML files. It needs the package `yaml`, an optional peer dependency, which users of JSON alone need not install.
 *
 * @module @vitgraph/config/yaml
 */
export {
  type ConfigText,
  configTexts,
  fileFindings,
  type PartOfFile,
  type TextFile,
} from "./config-texts.js";
export { parseYamlDocument } from "./yaml-document.js";
export { type EmbeddedJson, extractJson } from "./yaml-json.js";
