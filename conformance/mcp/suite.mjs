// Runs the official MCP conformance suite for one revision of the protocol and writes its result as JUnit XML:
//   node suite.mjs REVISION required|extra RESULTS.xml
//
// `required` are the scenarios that conforming to the revision asks for, `extra` the others that the suite runs with them:
// extensions, and scenarios that came later.
// The suite cannot send a key, so it talks to a small proxy in this process that adds the key and changes nothing else. A
// scenario passes when all its checks succeed; a check that the suite itself skips or only warns about does not fail it.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const [revision, part, results] = process.argv.slice(2);
const server = new URL(process.env.CONFORMANCE_URL);
const key = process.env.CONFORMANCE_KEY;
const root = dirname(createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json"));

const program = join(root, "dist", "index.js");
const required = requiredScenarios();

const proxy = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${key}` };
  const options = { host: server.hostname, port: server.port, method: request.method, path: request.url, headers };
  const onward = http.request(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    response.flushHeaders();
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  // A client that leaves must be seen to leave.
  response.on("close", () => onward.destroy());
  request.pipe(onward);
});
await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));

const output = mkdtempSync(join(tmpdir(), "mcp-conformance-"));
try {
  const url = `http://127.0.0.1:${proxy.address().port}/mcp`;
  const command = [program, "server", "--url", url, "--requirements", revision, "-o", output];
  const suite = spawn(process.execPath, command, { stdio: ["ignore", "inherit", "inherit"] });
  const code = await new Promise((ended) => suite.on("close", ended));
  const directories = readdirSync(output, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const all = directories.map((entry) => read(entry.name));
  const cases = all.filter(({ name }) => required.has(name) === (part === "required"));
  if (part === "required") {
    for (const name of required) {
      if (!all.some((one) => one.name === name)) cases.push({ name, problems: ["it did not run"] });
    }
    // The suite's own verdict must not be better or worse than what we read from its files.
    const failed = cases.filter((one) => one.problems.length > 0).length;
    if ((code === 0) !== (failed === 0)) {
      cases.push({ name: "the suite's own verdict", problems: [`it ended with ${code}, and ${failed} scenarios failed`] });
    }
  }
  writeFileSync(results, junit(cases));
} finally {
  proxy.closeAllConnections();
  proxy.close();
  rmSync(output, { recursive: true, force: true });
}

// The names under "Server scenarios" of the suite's own list.
function requiredScenarios() {
  const list = execFileSync(process.execPath, [program, "list", "--requirements", revision], { encoding: "utf8" });
  const section = list.split("Server scenarios")[1].split("\n\n")[0];
  return new Set([...section.matchAll(/^ +- (\S+)/gm)].map((match) => match[1]));
}

function read(directory) {
  const checks = JSON.parse(readFileSync(join(output, directory, "checks.json"), "utf8"));
  // server-<scenario>-<moment of the run>
  const name = directory.replace(/^server-/, "").replace(/-\d{4}-\d{2}-\d{2}T.*$/, "");
  const problems = checks
    .filter((check) => check.status === "FAILURE")
    .map((check) => `${check.id}: ${check.errorMessage ?? "failed"}`);
  return { name, problems };
}

function junit(cases) {
  const escape = (text) => text.replace(/[<>&"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const lines = cases.map(({ name, problems }) => {
    const failure = problems.length ? `<failure>${escape(problems.join("\n"))}</failure>` : "";
    return `<testcase classname="mcp ${revision}" name="${escape(name)}">${failure}</testcase>`;
  });
  return `<testsuite>${lines.join("\n")}</testsuite>\n`;
}
