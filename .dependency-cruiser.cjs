// The arrows between packages: errors ← { config, scheduler, cuda-kernels } ← core ← { llama-cpp, transformers };
// llama-cpp ← server. Nothing imports
// against them, nothing imports in a circle, and nobody reaches into another package past its doors.
const PACKAGES_BELOW = {
  errors: [],
  config: ["errors"],
  scheduler: ["errors"],
  "cuda-kernels": ["errors"],
  core: ["errors", "config", "scheduler", "cuda-kernels"],
  "llama-cpp": ["errors", "core"],
  transformers: ["errors", "core"],
  server: ["errors", "config", "scheduler", "cuda-kernels", "core", "llama-cpp"],
};

const arrows = Object.entries(PACKAGES_BELOW).map(([name, below]) => ({
  name: `arrows-${name}`,
  comment: `packages/${name} may import ${below.join(", ") || "no other package"}.`,
  severity: "error",
  from: { path: `^packages/${name}/src` },
  to: { path: "^packages/", pathNot: [name, ...below].map((allowed) => `^packages/${allowed}/`) },
}));

module.exports = {
  forbidden: [
    ...arrows,
    {
      name: "doors-only",
      comment: "Another package is imported by its name, never by a path into it.",
      severity: "error",
      from: { path: "^(packages/[^/]+|test|benchmarks)/" },
      to: {
        path: "^packages/[^/]+/",
        pathNot: [
          "^$1/",
          "^packages/[^/]+/src/(index|yaml|testing|testing/index)\\.ts$",
          "/schema/(generated/)?[^/]+\\.json$",
        ],
      },
    },
    {
      name: "only-declared",
      comment: "What is imported must be a dependency of the package that imports it.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "no-cycles",
      severity: "error",
      from: {},
      to: { circular: true, dependencyTypesNot: ["type-only"] },
    },
    {
      name: "models-read-like-the-paper",
      comment: "A model family imports the op graph, the item, and the form of processor settings.",
      severity: "error",
      from: { path: "^packages/core/src/models/[^/]+/" },
      to: {
        path: "^packages/core/src/(compiler|runtime|weights)/|^packages/core/src/images/(?!image-processor)",
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules|dist" },
    exclude: { path: "(^|/)(dist|build|native)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["vitgraph-source", "import", "node"],
    },
  },
};
