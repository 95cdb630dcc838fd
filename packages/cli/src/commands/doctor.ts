/** `vitgraph doctor`: the backends of this machine, the choice of `auto`, why others are not usable, and the decoders. */
import { decoderVersions, describeBackends } from "@vitgraph/core";
import type { Command } from "commander";
import type { CliIo } from "../cli-io.js";

export function registerDoctor(program: Command, io: CliIo): void {
  program
    .command("doctor")
    .description(
      "list the backends that are usable here, why the others are not, and the decoders of images and videos",
    )
    .option("--json", "the same as JSON")
    .action(({ json }: { json?: true }) => doctor(json === true, io));
}

async function doctor(json: boolean, io: CliIo): Promise<void> {
  const report = describeBackends();
  const decoders = await decoderVersions();
  if (report.chosen === null || "reason" in decoders.images) io.exitCode = 1;
  if (json) {
    io.stdout(`${JSON.stringify({ ...report, decoders }, null, 2)}\n`);
    return;
  }
  io.stdout(`node     ${process.version}, ${process.platform} ${process.arch}\n`);
  for (const [name, backend] of Object.entries(report.backends)) {
    if (backend.usable) {
      io.stdout(`${name.padEnd(8)} usable: ${backend.device.name}\n`);
      for (const [fact, value] of Object.entries(backend.device.facts))
        io.stdout(`           ${fact}: ${value}\n`);
      io.stdout(`           addon: ${backend.addonPath}\n`);
    } else {
      io.stdout(`${name.padEnd(8)} not usable\n`);
      for (const reason of backend.reasons) io.stdout(`           ${reason}\n`);
      io.stdout(`           remedy: ${backend.remedy}\n`);
    }
  }
  const { images, videos } = decoders;
  if ("reason" in images) {
    io.stdout(`images   not usable\n           ${images.reason}\n           remedy: ${images.remedy}\n`);
  } else {
    io.stdout(`images   sharp ${images.sharp}, libvips ${images.libvips}\n`);
  }
  io.stdout(
    `videos   ${videos.ffmpeg === null ? "GIF and WebP; others need ffmpeg, which is not installed" : `ffmpeg ${videos.ffmpeg}`}\n`,
  );
  io.stdout(`chosen   ${report.chosen ?? "none: no backend can run here"} (for --backend auto)\n`);
}
