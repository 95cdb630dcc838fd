// `npm start [-- IMAGE… --model DIR …]`: installs, builds, and encodes images; without arguments the repository's
// samples.
import { existsSync, mkdirSync } from "node:fs";
import { build, install } from "./bootstrap.mjs";
import { root, run } from "./toolchain.mjs";

const SAMPLE_MODEL = "test/fixtures/qwen3-vl-tiny";
const SAMPLES = [
  "image0_224x224.png",
  "image1_640x427.png",
  "image2_1021x767.png",
  "image3_57x301.png",
  "image4_2300x1500.jpg",
];

// The first run writes no .d.ts, which takes longer than all else in TypeScript. Where they are, they stay.
if (!existsSync(`${root}/packages/core/dist/index.d.ts`)) process.env.VITGRAPH_TYPES = "off";
install({ appOnly: true });
build({ appOnly: true });
const given = process.argv.slice(2);
if (given.length === 0) mkdirSync(`${root}/out`, { recursive: true });
const args =
  given.length > 0
    ? given
    : [
        ...SAMPLES.map((name) => `test/fixtures/images/${name}`),
        ...["--model", SAMPLE_MODEL, "--output", "out/embeddings.safetensors"],
        ...["--compilation-config", JSON.stringify({ compile_mm_encoder: true, cudagraph_mm_encoder: true })],
      ];
// A command's name comes first; images alone mean `encode`.
const isCommand = args[0] !== undefined && /^[a-z]+$/.test(args[0]) && !existsSync(`${root}/${args[0]}`);
process.exitCode = run(process.execPath, [
  "packages/cli/bin/vitgraph.mjs",
  ...(isCommand ? [] : ["encode"]),
  ...args,
]);
if (given.length === 0 && process.exitCode === 0) {
  const next = [
    [
      "npm start -- photo.jpg --model Qwen/Qwen3-VL-8B-Instruct",
      "your own image; downloads the vision tower",
    ],
    [`npx vitgraph serve --model ${SAMPLE_MODEL}`, "a server, with a page at http://localhost:8000/"],
    ["npx vitgraph --help", "all commands"],
  ];
  console.log("\nThe sample checkpoint is small and has random weights. Next:");
  for (const [command, effect] of next) console.log(`  ${command.padEnd(58)}${effect}`);
}
