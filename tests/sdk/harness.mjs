// What the SDKs' scripts have in common, beside the named checks; the twin of harness.py.

import assert from 'node:assert/strict';

export { check, raises, run, same } from './named_checks.mjs';

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
