/** llama.cpp as a host of vitgraph. A barrel, and nothing else. */
export {};
