/** llama.cpp as a host of vitgraph. A barrel, and nothing else. */
export {
  type Converted,
  type ConvertOptions,
  convertToGguf,
  OUTTYPE_NAMES,
  type Outtype,
} from "./gguf/convert.js";
