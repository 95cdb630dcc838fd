/** Did-you-mean, where the packages below this one use it too. */
export { editDistance, nearestKey } from "@vitgraph/errors";
