/** Property tests draw the same cases in each run: a commit passes or fails, whoever runs it. VITGRAPH_TEST_SEED draws others. */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env.VITGRAPH_TEST_SEED ?? 1) });
