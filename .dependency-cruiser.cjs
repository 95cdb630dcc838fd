// The arrows between packages: errors ← { config, scheduler, cuda-kernels } ← core ← { llama-cpp, transformers, server } ← cli,
// and errors, config ← vscode.
// No import goes against them or in a circle, and none reaches into another package except through its entry points.
const CORE_AND_BELOW = ["errors", "config", "scheduler", "cuda-kernels", "core"];
const HOSTS = ["llama-cpp", "transformers", "server"];
const PACKAGES_BELOW = {
  errors: [],
  config: ["errors"],
  scheduler: ["errors"],
  "cuda-kernels": ["errors"],
  core: ["errors", "config", "scheduler", "cuda-kernels"],
  ...Object.fromEntries(HOSTS.map((host) => [host, CORE_AND_BELOW])),
  cli: [...CORE_AND_BELOW, ...HOSTS],
  vscode: ["errors", "config"],
};

const arrows = Object.entries(PACKAGES_BELOW).map(([name, below]) => ({
  name: `arrows-${name}`,
  comment: `packages/${name} may import ${below.join(", ") || "no other package"}.`,
  severity: "error",
  from: { path: `^packages/${name}/(src|page)/` },
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
          "^packages/[^/]+/src/(index|yaml|testing|plugin/contract|observability/index)\\.ts$",
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
      comment:
        "A model family imports the op graph, the item, the form of processor settings, and the rules of image sizes.",
      severity: "error",
      from: { path: "^packages/core/src/models/[^/]+/" },
      to: {
        path: "^packages/core/src/(compiler|runtime|weights)/|^packages/core/src/images/(?!image-processor|settings-reader|smart-resize)",
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
