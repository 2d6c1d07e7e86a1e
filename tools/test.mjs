/**
 * Runs the tests: tools/test.mjs [FILE...]. Ends with the line "N passed, N failed, N skipped" and fails when a test
 * did, or when there was none.
 */
import { globSync } from "node:fs";
import { Transform } from "node:stream";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const named = process.argv.slice(2);
const files = (named.length > 0 ? named : globSync(["src/**/*.test.ts", "test/**/*.test.ts"]).filter(isForHere)).sort();
// Whole clusters, and repairs that are due within a second, share the machine badly.
const slow = (file) => file.startsWith("test/e2e/") || file === "test/kernel/repair.test.ts";
const counts = { passed: 0, failed: 0, skipped: 0 };

/** Counts single tests, not files and suites, and keeps the report to what is worth reading. */
class Digest extends Transform {
  constructor() {
    super({ objectMode: true });
  }
  _transform(event, _encoding, done) {
    const { type, data } = event;
    const isTest = (type === "test:pass" || type === "test:fail") && data.details?.type !== "suite";
    if (isTest && !isFile(data)) {
      if (data.skip !== undefined) counts.skipped++;
      else if (type === "test:pass") counts.passed++;
      else counts.failed++;
      if (data.skip !== undefined)
        process.stdout.write(`skipped: ${data.name}: ${data.skip === true ? "no reason given" : data.skip}\n`);
    } else if (type === "test:fail" && isFile(data)) counts.failed++;
    const worthReading = type === "test:fail" || type === "test:stderr" || type === "test:diagnostic";
    done(null, worthReading && !(type === "test:diagnostic" && data.nesting === 0) ? event : undefined);
  }
}

/** What another kernel is needed for has a job of its own: npm run test:vm. */
function isForHere(file) {
  return !file.startsWith("test/vm/");
}

function isFile(data) {
  return data.nesting === 0 && files.some((file) => data.name.endsWith(file));
}

async function runFiles(list, concurrency) {
  if (list.length === 0) return;
  const events = run({
    files: list,
    concurrency,
    timeout: 600_000 * Number(process.env.BREAKWATER_TEST_PATIENCE ?? 1),
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  const report = events.pipe(new Digest()).compose(spec);
  for await (const chunk of report) process.stdout.write(chunk);
}

await runFiles(
  files.filter((file) => !slow(file)),
  2,
);
// One at a time.
await runFiles(files.filter(slow), 1);
const { passed, failed, skipped } = counts;
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
