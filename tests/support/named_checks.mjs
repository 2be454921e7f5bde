// Named checks of one script, run beside its own packages: nothing but node here; the twin of named_checks.py.

import assert from 'node:assert/strict';

const checks = new Map();
const CHECK_MS = 120_000;

/** Register a check. */
export function check(name, body) {
  assert(!checks.has(name), name);
  checks.set(name, body);
}

/** Fail unless both are equal. */
export function same(found, expected) {
  assert.deepEqual(found, expected);
}

/** Return the error a call rejects with; anything else is a fault, an upstream's secret too. */
export async function raises(kind, call) {
  let found;

  try {
    found = await call();
  } catch (error) {
    assert(error instanceof kind, `${error?.constructor?.name}: ${error?.stack}`);
    const text = JSON.stringify({ ...error, message: error.message });
    assert(!text.includes('sk-upstream'), "the error tells the upstream's own words");
    return error;
  }

  assert.fail(`nothing was raised; it returned ${JSON.stringify(found)}`);
}

/** Run every check, or those named on the command line, and print what was found. */
export async function run() {
  const named = process.argv.slice(2);

  for (const name of named.length ? named : checks.keys()) {
    let detail = '';

    try {
      await within(checks.get(name)());
    } catch (error) {
      detail = String(error?.stack ?? error).slice(0, 4000) || 'an empty error';
    }

    process.stdout.write(JSON.stringify({ name, ok: !detail, detail }) + '\n');
  }
}

async function within(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('the check does not end')), CHECK_MS);
  });

  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
