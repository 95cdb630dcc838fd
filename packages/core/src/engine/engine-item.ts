/**
 * What callers hand to an engine, from encoded bytes to ready items, and how each kind becomes an `EncoderItem`.
 *
 * Opening tells an item's grid without decoding it (of an image, its header is read), so that packing, admission and
 * `getItemSpecs` know its size before any work is spent on it.
 */
import { VitgraphError } from "@vitgraph/errors";
import { type ItemSpec, itemSpecOfGrid } from "@vitgraph/scheduler";
import {
  channelScale,
  imageGrid,
  openImage,
  processRaster,
  processVideo,
  type Raster,
  videoGrid,
} from "../images/index.js";
import { type EncoderItem, type Grid, patchCount } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { checkItemOfModel } from "../runtime/check-item.js";

/** A host's name for an item's content: items with one uuid have one embedding, and are not looked at again. */
interface Named {
  readonly uuid?: string;
}

/** The content of a JPEG, PNG, WebP or GIF file. The bytes must not change until the call settles. */
export interface ImageBytesItem extends Named {
  readonly image: Uint8Array;
}

/** Decoded pixels. */
export interface RasterItem extends Named {
  readonly raster: Raster;
}

/** Frames of a video, all of one size, sampled by the caller. */
export interface FramesItem extends Named {
  readonly frames: readonly Raster[];
}

/** What transformers' processor makes of one image or video. */
export interface PixelValuesItem extends Named {
  /** [t · h · w, channels · temporal · patch · patch], rescaled and normalised. */
  readonly pixel_values: Float32Array;
  /** Patches along time, height and width. */
  readonly grid_thw: readonly [t: number, h: number, w: number];
}

export type EngineItem = ImageBytesItem | RasterItem | FramesItem | PixelValuesItem | (EncoderItem & Named);

/** An item whose size is known and which can be made ready. */
export interface OpenedItem {
  readonly kind: "image" | "raster" | "frames" | "ready";
  readonly spec: ItemSpec;
  /** Pixels that making it ready takes memory for: its own and those of the result. 0 where it is ready. */
  readonly pixels: number;
  /** Of these, the pixels that stay until the item is encoded. */
  readonly keptPixels: number;
  /** @throws VG_IMAGE_INVALID and others for what only decoding finds out */
  prepare(): Promise<EncoderItem>;
}

export interface OpenItemOptions {
  /** Pixels above which an image is refused. */
  readonly maxPixels: number;
}

/** @throws VG_ITEM_INVALID, VG_IMAGE_INVALID, VG_IMAGE_TOO_LARGE, VG_IMAGE_ASPECT_RATIO, VG_ARGUMENT_INVALID */
export async function openItem(
  item: EngineItem,
  model: LoadedModel,
  { maxPixels }: OpenItemOptions,
): Promise<OpenedItem> {
  const { vision, processor, videoProcessor } = model;
  const kind = kindOf(item);
  switch (kind) {
    case "image": {
      const image = await openImage((item as ImageBytesItem).image, { maxPixels });
      const grid = imageGrid(image, processor);
      const sourcePixels = image.height * image.width;
      return opened(kind, grid, sourcePixels, model, async () =>
        processRaster(await image.decode(), processor),
      );
    }
    case "raster": {
      const { raster } = item as RasterItem;
      return opened(kind, imageGrid(raster, processor), 0, model, () => processRaster(raster, processor));
    }
    case "frames": {
      const { frames } = item as FramesItem;
      checkVideoNormalisation(model);
      const [first] = frames;
      if (first === undefined) {
        throw new VitgraphError("VG_ARGUMENT_INVALID", "a video has no frames", {
          remedy: "pass at least one",
        });
      }
      const grid = videoGrid(frames.length, first, videoProcessor);
      return opened(kind, grid, 0, model, () => processVideo(frames, videoProcessor));
    }
    case "ready": {
      const ready = readyItem(item as PixelValuesItem | EncoderItem);
      checkItemOfModel(ready, vision);
      return {
        kind,
        spec: specOf(ready.grid, model),
        pixels: 0,
        keptPixels: 0,
        prepare: async () => ready,
      };
    }
  }
}

const FORMS =
  "{ image }, { raster }, { frames }, { pixel_values, grid_thw }, or an EncoderItem with its format";

/** By the field that each form has, and no other. @throws VG_ITEM_INVALID */
function kindOf(item: unknown): OpenedItem["kind"] {
  const fields = typeof item === "object" && item !== null ? item : {};
  if ("image" in fields) return "image";
  if ("raster" in fields) return "raster";
  if ("frames" in fields && Array.isArray(fields.frames)) return "frames";
  if ("pixel_values" in fields || "format" in fields) return "ready";
  const names = Object.keys(fields).join(", ") || "no fields";
  throw new VitgraphError("VG_ITEM_INVALID", `an item has ${names}`, { remedy: `pass ${FORMS}` });
}

function readyItem(item: PixelValuesItem | EncoderItem): EncoderItem {
  if (!("pixel_values" in item)) return item;
  const { pixel_values: pixelValues, grid_thw } = item;
  const [t, h, w] = (Array.isArray(grid_thw) ? grid_thw : []) as [number, number, number];
  return { format: "normalized", grid: { t, h, w }, pixelValues };
}

function opened(
  kind: OpenedItem["kind"],
  grid: Grid,
  sourcePixels: number,
  model: LoadedModel,
  work: () => Promise<EncoderItem>,
): OpenedItem {
  const { patchSize, temporalPatchSize } = kind === "frames" ? model.videoProcessor : model.processor;
  const keptPixels = patchCount(grid) * patchSize ** 2 * (kind === "frames" ? temporalPatchSize : 1);
  const prepare = async () => {
    const item = await work();
    checkItemOfModel(item, model.vision);
    return item;
  };
  return { kind, spec: specOf(grid, model), pixels: sourcePixels + keptPixels, keptPixels, prepare };
}

function specOf({ t, h, w }: Grid, { vision }: LoadedModel): ItemSpec {
  return itemSpecOfGrid([t, h, w], vision.spatialMergeSize);
}

/** The graph normalises all pixels as the image processor says. */
function checkVideoNormalisation({ processor, videoProcessor, name }: LoadedModel): void {
  const image = channelScale(processor);
  if (channelScale(videoProcessor).every((value, index) => value === image[index])) return;
  throw new VitgraphError(
    "VG_MODEL_UNSUPPORTED",
    `${name} normalises the frames of videos otherwise than images`,
    {
      remedy: "pass videos as { pixel_values, grid_thw }, made by the model's own processor",
    },
  );
}
