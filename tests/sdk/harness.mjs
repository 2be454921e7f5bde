// Named checks of one SDK, run beside its own packages: nothing but node here; the twin of harness.py.

import assert from 'node:assert/strict';

export const PLAIN = 'Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”.';
export const REASONING = 'First I think, then I answer.';
export const REFUSAL = 'I cannot help with that.';

const environment = process.env;
export const gateway = {
  url: environment.SPINDLE_URL,
  base: `${environment.SPINDLE_URL}/v1`,
  token: environment.SPINDLE_TOKEN,
  poorToken: environment.SPINDLE_POOR_TOKEN,
  bareToken: environment.SPINDLE_BARE_TOKEN,
  adminToken: environment.SPINDLE_ADMIN_TOKEN,
  upstream: environment.SPINDLE_UPSTREAM,
};

const checks = new Map();
const CHECK_MS = 40_000;

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

/** Counts what the gateway was asked on a route, by its own measures. */
export class Requests {
  static async on(route) {
    const requests = new Requests();
    requests.route = route;
    requests.before = await answered(route);
    return requests;
  }

  /** Fail unless it was asked exactly so often: counted when an answer is out. */
  async expect(count) {
    const deadline = Date.now() + 5000;
    let found = 0;

    while ((found = (await answered(this.route)) - this.before) < count) {
      assert(Date.now() < deadline, `the gateway saw ${found} requests, not ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }

    assert.equal(found, count, `the gateway saw ${found} requests, not ${count}`);
  }
}

/** Return what the upstream was asked. */
export async function upstreamRequests() {
  return (await (await fetch(`${gateway.upstream}/_log`)).json()).requests;
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

async function answered(route) {
  const answer = await fetch(`${gateway.url}/metrics`, {
    headers: { authorization: `Bearer ${gateway.adminToken}` },
  });
  assert.equal(answer.status, 200);
  let sum = 0;

  for (const line of (await answer.text()).split('\n')) {
    if (line.startsWith('spindle_http_requests_total{') && line.includes(`route="${route}"`)) {
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
  }

  return sum;
}
