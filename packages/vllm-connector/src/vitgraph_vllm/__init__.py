"""vLLM's encoder cache connector for a local vitgraph server. See README.md."""

from vitgraph_vllm.connector import VitgraphECConnector

__all__ = ["VitgraphECConnector"]
