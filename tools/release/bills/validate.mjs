// Holds bills of materials to the schema of the version that each says it is of.
//
//   node validate.mjs DIR-WITH-NODE_MODULES FILE…
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, ...files] = process.argv.slice(2);
const { Validation } = createRequire(join(modules, "package.json"))("@cyclonedx/cyclonedx-library");
let bad = files.length === 0;
for (const file of files) {
  const text = readFileSync(file, "utf8");
  const wrong = await new Validation.JsonStrictValidator(JSON.parse(text).specVersion).validate(text);
  if (wrong !== null) {
    console.error(`${file}: ${JSON.stringify(wrong, null, 2).slice(0, 2000)}`);
    bad = true;
  }
}
if (bad) process.exit(1);
console.log(`bills: ${files.length} files are valid by CycloneDX's own schema`);
