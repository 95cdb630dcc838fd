// A package's README as it stands on a registry's page. Links to files outside the package lead nowhere there: they become
// links into the repository, at the address that the root package.json gives as `repository`. Without an address, the text
// of a link and the path of its file stay.
import { existsSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { root } from "./toolchain.mjs";

/** The https address of a `repository` field, as npm writes it: "git+https://host/owner/name.git", or an object with it. */
export function repositoryPage(repository) {
  const url = typeof repository === "string" ? repository : repository?.url;
  return url?.replace(/^git\+/, "").replace(/\.git$/, "");
}

/**
 * @param markdown the README
 * @param folder of the package in the repository: "packages/core"
 * @param page of the repository; undefined where it has none
 */
export function publishedReadme(markdown, folder, page) {
  // Links in blocks of code are code.
  return markdown
    .split(/(^```[\s\S]*?^```$)/m)
    .map((part) => (part.startsWith("```") ? part : withOuterLinks(part, folder, page)))
    .join("");
}

function withOuterLinks(text, folder, page) {
  return text.replaceAll(/(!?)\[((?:[^\][]|\[[^\]]*\])*)\]\(([^)\s]+)\)/g, (link, image, label, target) => {
    if (/^([a-z]+:|#)/i.test(target)) return link;
    const [path, anchor] = target.split("#");
    const file = posix.normalize(posix.join(folder, path));
    if (file.startsWith(`${folder}/`)) return link;
    if (!existsSync(join(root, file)))
      throw new Error(`${folder}/README.md links to ${target}, which does not exist`);
    if (page === undefined) return label.includes(file) ? label : `${label} (\`${file}\`)`;
    const view = image === "!" ? "raw" : statSync(join(root, file)).isDirectory() ? "tree" : "blob";
    return `${image}[${label}](${page}/${view}/HEAD/${file}${anchor === undefined ? "" : `#${anchor}`})`;
  });
}
