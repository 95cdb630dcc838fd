/** JSON schemas of requests and answers: they validate what comes in, and make /openapi.json. */
const IMAGE_SOURCE = {
  type: "string",
  description:
    "A data URL in base64, an http(s) URL of an allowed domain, or a path below the allowed directory.",
} as const;

export const NULL_IS_ABSENT = "A member that is null counts as left out.";

/** An image or video of a message. */
export const MEDIA = {
  type: ["string", "object"],
  required: ["url"],
  additionalProperties: false,
  properties: {
    url: IMAGE_SOURCE,
    detail: { enum: ["auto", "low", "high"], description: "No effect." },
  },
} as const;

/** `anyOf` would answer an object's mistake with "must be string". */
const IMAGE = {
  type: ["string", "object"],
  additionalProperties: false,
  properties: { type: { const: "image_url" }, image: IMAGE_SOURCE, image_url: MEDIA },
} as const;

export function embeddingsBody(maxItems: number) {
  return {
    type: "object",
    required: ["input"],
    additionalProperties: false,
    description: NULL_IS_ABSENT,
    properties: {
      model: { type: "string", description: "The name that /v1/models gives." },
      input: {
        ...IMAGE,
        description: "One image, or a list of images.",
        type: [...IMAGE.type, "array"],
        minItems: 1,
        maxItems,
        items: IMAGE,
      },
      encoding_format: {
        enum: ["float", "base64"],
        default: "float",
        description: "Numbers, or their bytes as f32, little-endian, in base64.",
      },
      user: { description: "No effect." },
    },
  } as const;
}

const COUNT = { type: "integer", minimum: 0 } as const;

const EMBEDDINGS = {
  type: "object",
  required: ["object", "model", "data", "usage"],
  properties: {
    object: { const: "list" },
    model: { type: "string" },
    data: {
      type: "array",
      items: {
        type: "object",
        required: ["object", "index", "shape", "grid_thw", "embedding"],
        properties: {
          object: { const: "embedding" },
          index: { ...COUNT, description: "Index of the image in the request." },
          shape: {
            type: "array",
            items: COUNT,
            description:
              "[tokens, columns]: a matrix for each image, one row per token of the language model.",
          },
          grid_thw: { type: "array", items: COUNT, description: "Patches: frames, rows, columns." },
          embedding: {
            description: "tokens × columns values, row by row, to be reshaped to `shape`.",
            anyOf: [{ type: "array", items: { type: "number" } }, { type: "string" }],
          },
        },
      },
    },
    usage: {
      type: "object",
      properties: { prompt_tokens: COUNT, total_tokens: COUNT, image_tokens: COUNT },
    },
  },
} as const;

const NULLABLE_TEXT = { type: ["string", "null"] } as const;

export const ERROR = {
  type: "object",
  description: "OpenAI's error object; `code`, `fact` and `remedy` are vitgraph's.",
  properties: {
    error: {
      type: "object",
      properties: {
        message: { type: "string" },
        type: { type: "string" },
        param: NULLABLE_TEXT,
        code: { type: "string" },
        fact: { type: "string" },
        remedy: NULLABLE_TEXT,
      },
    },
  },
} as const;

const BINARY = { schema: { type: "string", format: "binary" } } as const;

export const EMBEDDINGS_ANSWERS = {
  200: {
    description: "The embeddings, in the form that the Accept header asks for.",
    content: {
      "application/json": { schema: EMBEDDINGS },
      "application/x-npy": BINARY,
      "application/vnd.safetensors": BINARY,
      "multipart/mixed": BINARY,
    },
  },
  "4xx": ERROR,
  "5xx": ERROR,
} as const;

export const MODELS = {
  type: "object",
  properties: {
    object: { const: "list" },
    data: {
      type: "array",
      items: {
        type: "object",
        properties: {
          id: { type: "string" },
          object: { const: "model" },
          created: COUNT,
          owned_by: { type: "string" },
          max_model_len: { ...COUNT, description: "Of a chat model: tokens of a prompt and its answer." },
          output_columns: {
            type: "array",
            items: COUNT,
            description:
              "Of an embedding model: columns of the merged embedding, then of each deepstack level; together, those of a row.",
          },
        },
      },
    },
  },
} as const;

export const STATUS = { type: "object", properties: { status: { type: "string" } } } as const;
export const VERSION = { type: "object", properties: { version: { type: "string" } } } as const;

/** Further members are allowed: vLLM's proxy forwards the client's, and newer versions may add some. */
export const ENCODE_BODY = {
  type: "object",
  required: ["messages"],
  properties: {
    model: { type: ["string", "null"] },
    messages: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        properties: {
          content: {
            anyOf: [
              { type: ["string", "null"] },
              {
                type: "array",
                items: {
                  type: "object",
                  required: ["type"],
                  properties: {
                    type: { type: "string" },
                    image_url: {
                      anyOf: [
                        { type: ["string", "null"] },
                        { type: "object", required: ["url"], properties: { url: IMAGE_SOURCE } },
                      ],
                    },
                    uuid: {
                      type: ["string", "null"],
                      description: "The image's key in the storage. Default: sha256 of its URL.",
                    },
                  },
                },
              },
            ],
          },
        },
      },
    },
    stream: { enum: [false, null] },
    mm_processor_kwargs: { type: ["object", "null"] },
    media_io_kwargs: { type: ["object", "null"] },
    ec_transfer_params: { type: ["object", "null"] },
  },
} as const;

export const ENCODE_ANSWERS = {
  200: {
    type: "object",
    additionalProperties: true,
    properties: {
      ec_transfer_params: {
        description: "Left out where the decoder has to encode the media itself.",
        type: "object",
        additionalProperties: {
          type: "object",
          properties: {
            metadata: {
              type: "object",
              properties: {
                image_grid_thw: {
                  type: "array",
                  items: { type: "array", items: COUNT },
                  description: "Patches: frames, rows, columns.",
                },
              },
            },
            item_indices: {
              type: "array",
              items: COUNT,
              description: "Indices of the image among those of the request.",
            },
          },
        },
      },
    },
  },
  "4xx": ERROR,
  "5xx": ERROR,
} as const;
