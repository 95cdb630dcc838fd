/**
 * The vision half: llama.cpp as a host of vitgraph's encoder plugin. Images and videos in, units of a prompt out. It calls
 * the encoder only through the plugin contract.
 */
import { createHash } from "node:crypto";
import {
  createEncoderPlugin,
  type Embedding,
  type EncoderPluginOptions,
  type EngineItem,
  findCheckpoint,
  type HostEngine,
  openClip,
  type Registration,
  readJsonObject,
  readProcessorSettings,
  readVideoProcessor,
  type VideoProcessor,
} from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import { type PromptFamily, promptFamily } from "./families.js";
import { LlamaHost } from "./llama-host.js";
import { type MediaPart, readSource, type VideoPart } from "./messages.js";
import { gridPositions, type MediaUnit } from "./units.js";

export interface VisionOptions {
  /** The checkpoint's directory, or its id in the hub's local cache. */
  readonly visionModel: string;
  readonly compilationConfig?: HostEngine["compilationConfig"];
  readonly encoder?: EncoderPluginOptions;
  /** Columns of a row that the language model takes. */
  readonly embeddingColumns: number;
}

/** An image or video, ready for a prompt. */
export interface EncodedMedia {
  readonly type: MediaPart["type"];
  /** One piece, or one per temporal patch with its time if the family's prompt has timestamps. */
  readonly pieces: readonly { readonly unit: MediaUnit; readonly seconds?: number }[];
}

export interface EncodeMediaOptions {
  readonly signal: AbortSignal;
  /** The caller that they count for in the encoder. */
  readonly caller: string | undefined;
  readonly contextSize: number;
}

interface PreparedItem {
  readonly item: EngineItem;
  readonly key: string;
  /** Seconds of a video's temporal patches. */
  readonly timestamps?: readonly number[];
  readonly secondsPerPatch?: number;
}

export class Vision implements AsyncDisposable {
  readonly family: PromptFamily;
  readonly #host: LlamaHost;
  #registration: Registration | undefined;
  readonly #videoProcessor: VideoProcessor | undefined;
  readonly #mergeSize: number;
  readonly #tokensPerSecond: number;

  /** @throws VG_REGISTRATION_FAILED, VG_MODEL_UNSUPPORTED, VG_MODEL_INVALID */
  static async start(options: VisionOptions): Promise<Vision> {
    const { visionModel, compilationConfig, encoder = {}, embeddingColumns } = options;
    const path = await findCheckpoint(visionModel);
    const config = await readJsonObject(path, "config.json");
    const settings = await readProcessorSettings(path);
    const host = new LlamaHost({ config, path, embeddingColumns }, compilationConfig);
    const vision = new Vision(host, config, settings);
    vision.#registration = await createEncoderPlugin(encoder).register(host);
    return vision;
  }

  private constructor(
    host: LlamaHost,
    config: Readonly<Record<string, unknown>>,
    settings: Awaited<ReturnType<typeof readProcessorSettings>>,
  ) {
    const { model_type: modelType, vision_config: visionConfig } = config;
    this.#host = host;
    this.family = promptFamily(modelType);
    this.#videoProcessor = readVideoProcessor(settings.video, modelType as string, {}, settings.videoFile);
    const { spatial_merge_size = 2, tokens_per_second = 4 } = (visionConfig ?? {}) as {
      readonly spatial_merge_size?: number;
      readonly tokens_per_second?: number;
    };
    this.#mergeSize = spatial_merge_size;
    this.#tokensPerSecond = tokens_per_second;
  }

  /**
   * Encodes all items in one call, so that they share batches.
   * @throws VG_ARGUMENT_INVALID if they alone fill the context; the first failed item's error, with its index as
   *   `details.media`; the error of the whole call
   */
  async encode(
    media: readonly MediaPart[],
    { signal, caller, contextSize }: EncodeMediaOptions,
  ): Promise<readonly EncodedMedia[]> {
    if (media.length === 0) return [];
    const prepared: PreparedItem[] = [];
    // One at a time, since ffmpeg runs for each video.
    for (const [index, part] of media.entries()) {
      try {
        prepared.push(await this.#prepare(part, signal));
      } catch (error) {
        throw ofMedia(index, error);
      }
    }
    const items = prepared.map(({ item }, index) => ({ modality: (media[index] as MediaPart).type, item }));
    let tokens = 0;
    const outcomes = await this.#host.encode(items, {
      signal,
      ...(caller === undefined ? {} : { caller }),
      // Checked before encoding, which would be wasted.
      onItemSpecs: (specs) => {
        for (const spec of specs) if (spec.status === "fulfilled") tokens += spec.value.outputTokens;
        if (tokens >= contextSize) throw promptTooLong(tokens, contextSize);
      },
    });
    return outcomes.map((outcome, index) => {
      if (outcome.status === "rejected") throw ofMedia(index, outcome.reason);
      return this.#place((media[index] as MediaPart).type, prepared[index] as PreparedItem, outcome.value);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#host.close();
    } finally {
      await this.#registration?.close();
    }
  }

  async #prepare(part: MediaPart, signal: AbortSignal): Promise<PreparedItem> {
    if (part.type === "video") return this.#prepareVideo(part, signal);
    const image = await readSource(part.image);
    const key = await sha256(image);
    return { item: { image, uuid: key }, key };
  }

  async #prepareVideo({ video, fps, numFrames }: VideoPart, signal: AbortSignal): Promise<PreparedItem> {
    if (this.#videoProcessor === undefined) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", "the model takes no videos", {
        remedy: "pass frames as images",
      });
    }
    const bytes = await readSource(video);
    await using clip = await openClip(bytes, this.#videoProcessor as VideoProcessor, {
      fps,
      numFrames,
      signal,
    });
    const { info, indices, timestamps } = clip;
    // Decoded by the encoder, among the images of all requests.
    const sampledFps = (indices.length / info.frames) * info.fps;
    const key = `${await sha256(bytes)}:${indices.join(",")}`;
    return {
      item: { video: bytes, fps, numFrames, uuid: key },
      key,
      timestamps,
      secondsPerPatch: this.#videoProcessor.temporalPatchSize / sampledFps,
    };
  }

  #place(
    type: MediaPart["type"],
    prepared: PreparedItem,
    { grid, tokens, columns, data }: Embedding,
  ): EncodedMedia {
    const { key, timestamps, secondsPerPatch = 1 } = prepared;
    const layout = type === "video" ? this.family.video?.layout : undefined;
    // Patches come in times, rows and columns; families without multimodal positions have other counts.
    const inTokens = { t: grid.t, h: grid.h / this.#mergeSize, w: grid.w / this.#mergeSize };
    const unit = (name: string, count: number, rows: Float32Array, t: number, scale = 1): MediaUnit => ({
      key: `${name}:${grid.t}x${grid.h}x${grid.w}`,
      count,
      rows,
      ...(this.family.mrope ? gridPositions({ ...inTokens, t }, scale) : { span: count }),
    });
    if (layout !== "timestamps") {
      const scale = layout === "grid in seconds" ? secondsPerPatch * this.#tokensPerSecond : 1;
      return { type, pieces: [{ unit: unit(key, tokens, data, grid.t, scale) }] };
    }
    const count = tokens / grid.t;
    const pieces = Array.from({ length: grid.t }, (_, at) => ({
      unit: unit(`${key}#${at}`, count, data.subarray(at * count * columns, (at + 1) * count * columns), 1),
      seconds: timestamps?.[at] ?? 0,
    }));
    return { type, pieces };
  }
}

/** Adds the index of the image or video in the request as `details.media`. */
function ofMedia(media: number, error: unknown): unknown {
  if (!VitgraphError.is(error)) return error;
  const { code, fact, remedy, details } = error;
  return new VitgraphError(code, fact, {
    ...(remedy === undefined ? {} : { remedy }),
    details: { ...details, media },
    cause: error,
  });
}

export function promptTooLong(tokens: number, contextSize: number): VitgraphError {
  return new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `the prompt has ${tokens} tokens, and the context ${contextSize}`,
    { remedy: "shorten it, use smaller images, or raise the context size" },
  );
}

/** Large content is hashed on libuv's pool. */
async function sha256(bytes: Uint8Array): Promise<string> {
  if (bytes.length < 1 << 16) return createHash("sha256").update(bytes).digest("hex");
  return Buffer.from(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)).toString("hex");
}
