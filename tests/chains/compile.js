// Compiles contracts/*.sol, and those of the folders that it is given, into build/<Name>.json:
// { bytecode, deployed }, hexadecimal.
const fs = require("node:fs");
const path = require("node:path");
const solc = require("solc");

const read = (file) => ({ contents: fs.readFileSync(file, "utf8") });
const folders = ["contracts", ...process.argv.slice(2)];
const sources = Object.fromEntries(
  folders.flatMap((folder) =>
    fs
      .readdirSync(folder)
      .filter((name) => name.endsWith(".sol"))
      .map((name) => [name, { content: read(path.join(folder, name)).contents }]),
  ),
);
const input = {
  language: "Solidity",
  sources,
  settings: {
    optimizer: { enabled: true },
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(
  solc.compile(JSON.stringify(input), { import: (name) => read(require.resolve(name)) }),
);
const errors = (output.errors ?? []).filter((found) => found.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((found) => found.formattedMessage).join("\n"));
  process.exit(1);
}
fs.mkdirSync("build", { recursive: true });
for (const name of Object.keys(sources)) {
  for (const [contract, { evm }] of Object.entries(output.contracts[name])) {
    const built = { bytecode: evm.bytecode.object, deployed: evm.deployedBytecode.object };
    fs.writeFileSync(path.join("build", `${contract}.json`), JSON.stringify(built));
  }
}
