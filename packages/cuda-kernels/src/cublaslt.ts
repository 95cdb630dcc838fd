/**
 * Where libcublasLt may be: what VITGRAPH_CUBLASLT names, the loader's own paths, the CUDA toolkit, and the nvidia
 * packages of a Python installation, whose wheels carry it. The addon opens the first that works.
 */
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

/** Sonames, newest first: the library's major version follows CUDA's. */
const SONAMES = ["libcublasLt.so.13", "libcublasLt.so.12"];

export function cublasLtCandidates(env: NodeJS.ProcessEnv = process.env): readonly string[] {
  if (env.VITGRAPH_CUBLASLT !== undefined) return [env.VITGRAPH_CUBLASLT];
  const directories = [...toolkitDirectories(env), ...pythonDirectories(env)];
  const files = directories.flatMap((directory) => SONAMES.map((name) => join(directory, name)));
  return [...SONAMES, ...new Set(files.filter((file) => existsSync(file)))];
}

function toolkitDirectories(env: NodeJS.ProcessEnv): readonly string[] {
  const roots = [env.CUDA_HOME, env.CUDA_PATH, "/usr/local/cuda"].filter((root) => root !== undefined);
  return roots.flatMap((root) => [join(root, "lib64"), join(root, "targets", "x86_64-linux", "lib")]);
}

/** site-packages/nvidia/{cu13,cublas}/lib of the Pythons on the path and of the active virtual environment. */
function pythonDirectories(env: NodeJS.ProcessEnv): readonly string[] {
  const onPath = (env.PATH ?? "")
    .split(delimiter)
    .filter((directory) => existsSync(join(directory, "python3")));
  const prefixes = [
    ...(env.VIRTUAL_ENV === undefined ? [] : [env.VIRTUAL_ENV]),
    ...onPath.flatMap((directory) => [
      dirname(directory),
      dirname(dirname(realpathSync(join(directory, "python3")))),
    ]),
  ];
  return [...new Set(prefixes)].flatMap((prefix) =>
    pythonLibraries(prefix).flatMap((library) =>
      ["site-packages", "dist-packages"].flatMap((packages) =>
        ["cu13", "cublas"].map((name) => join(library, packages, "nvidia", name, "lib")),
      ),
    ),
  );
}

/** lib/python3.12 and the like. */
function pythonLibraries(prefix: string): readonly string[] {
  const library = join(prefix, "lib");
  if (!existsSync(library)) return [];
  return readdirSync(library)
    .filter((name) => name.startsWith("python3"))
    .map((name) => join(library, name));
}
