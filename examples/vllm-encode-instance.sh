#!/bin/sh
# Calls an encode instance like vLLM's disaggregation proxy: it answers with the image's grid, and writes the embedding to
# the shared folder under the image's uuid. docs/vllm.md has the proxy and the decoder.
#
#     pnpm vllm-encode-instance CHECKPOINT_DIR photo.png
set -eu
model=$1 image=$2
port=${PORT:-8001}
storage=$(mktemp -d)
vitgraph serve --model "$model" --served-model-name model --port "$port" --vllm-encode \
  --shared-storage-path "$storage" --log-level warn &
server=$!
trap 'kill $server; rm -r "$storage"' EXIT
until curl -sf "localhost:$port/health" >/dev/null; do
  kill -0 $server # ends the script if the server has failed, after its error
  sleep 0.2
done
printf '{"model": "model", "messages": [{"role": "user", "content": [{"type": "image_url", "uuid": "photo-7",
  "image_url": {"url": "data:image/png;base64,%s"}}]}]}' "$(base64 -w0 "$image")" |
  curl -s "localhost:$port/v1/chat/completions" -H 'content-type: application/json' -d @-
echo
ls "$storage"/photo-7
