/**
 * Packages that only some users need (sharp, pino, prom-client, OpenTelemetry): optional peer dependencies, loaded at
 * their first use.
 */
import { VitgraphError } from "@vitgraph/errors";

/**
 * @param name the package's name in the registry
 * @param purpose what needs it, as the subject of the message: "decoding images"
 * @param load `() => import(name)`, with the name spelt out, so that bundlers see it
 * @throws VG_PACKAGE_UNAVAILABLE if the package is not installed or fails to load
 */
export async function loadOptional<Package>(
  name: string,
  purpose: string,
  load: () => Promise<Package>,
): Promise<Package> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const missing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
    throw new VitgraphError(
      "VG_PACKAGE_UNAVAILABLE",
      missing && message.includes(`'${name}'`)
        ? `${purpose} needs the package ${name}, which is not installed`
        : `${purpose} needs the package ${name}, which cannot be loaded (${message})`,
      { remedy: `npm install ${name}`, details: { package: name }, cause },
    );
  }
}
