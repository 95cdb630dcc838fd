/** For tests that bound the work on hostile input: a busy machine stretches the time of a call, but not its processor time. */

/** Processor seconds of this process, all its threads, until the call is done. */
export async function cpuSeconds(call: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await call();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
