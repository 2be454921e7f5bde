// What every MCP client for node is asked to do, written once; the twin of harness.py.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { check, raises, same, run as runChecks } from './named_checks.mjs';

export { check, same } from './named_checks.mjs';

const environment = process.env;
export const gateway = {
  url: environment.SPINDLE_URL,
  token: environment.SPINDLE_TOKEN,
  endpoint: (server) => (server ? `${gateway.url}/servers/${server}/mcp` : `${gateway.url}/mcp`),
};
export const BRIDGE = JSON.parse(environment.SPINDLE_BRIDGE ?? '[]');
export const [MODERN, LEGACY] = ['2026-07-28', '2025-11-25'];

export const KIT_TOOLS = ['kit__fail', 'kit__go', 'kit__refuse', 'kit__say', 'kit__slow', 'kit__weigh'];
const REFUSAL = /\b401\b|token is not valid|Unauthorized/;
const documentedSnippets = JSON.parse(environment.SPINDLE_DOCUMENTED ?? '{}');
const sessions = [];

/** A request was answered with an error of the protocol. */
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const inSession = {
  connect: async (way, session) => {
    same([session.version, session.server], [way.version, way.server ?? 'spindle']);
  },

  list: async (_, session) => {
    const tools = await session.tools();
    same(tools, [...tools].sort());
    same(tools.filter((name) => name.startsWith('kit__')), KIT_TOOLS);
    assert(tools.includes('demo__echo'), tools);
  },

  'call.text': async (_, session) => {
    for (const name of ['kit__say', 'demo__echo']) {
      const said = await session.call(name, { text: 'Grüße 🦊' });
      same([said.text, said.isError], ['Grüße 🦊', false]);
    }
  },

  'call.structured': async (_, session) => {
    const weighed = await session.call('kit__weigh', { left: 2, right: 3.5 });
    same(weighed.structured, { total: 5.5, parts: [2, 3.5] });
  },

  'call.tool_error': async (_, session) => {
    const failed = await session.call('kit__fail', {});
    same([failed.isError, failed.text], [true, 'The scales are broken.']);
  },

  // What an upstream says of itself stays there; `raises` looks for its secret.
  'call.refused': async (way, session) => {
    const refused = await raises(Refused, () => session.call('kit__refuse', {}));
    same(refused.code, way.codes?.refused ?? -32013);
  },

  // The tool goes on when it is told to: each step is heard of while the call runs.
  'call.progress': async (way, session) => {
    const [heard, goes] = [[], []];
    const name = `${process.pid} ${way.name}`;
    const hear = ({ progress, total, message }) => {
      heard.push([progress, total, message]);
      goes.push(session.call('kit__go', { name }));
    };
    const done = await session.call('kit__slow', { name, steps: 3 }, hear);
    await Promise.all(goes);
    same(done.text, 'done');
    same(heard, [1, 2, 3].map((step) => [step, 3, `step ${step}`]));
  },

  'call.unknown': async (way, session) => {
    const refused = await raises(Refused, () => session.call('kit__nothing', {}));
    same(refused.code, way.codes?.unknown ?? -32602);
    assert(refused.message.includes('kit__nothing'), refused.message);
  },
};

const onItsOwn = {
  'token.wrong': async (way) => {
    let said;

    try {
      const session = await opened(way, 'spn_wrong');
      said = `somebody without a token was shown ${await session.tools()}`;
    } catch (error) {
      said = told(error);
    }

    assert((way.refusal ?? REFUSAL).test(said), said);
  },

  'server.part': async (way) => {
    const session = await opened(way, gateway.token, 'desk');
    same(await session.tools(), KIT_TOOLS);
    same((await session.call('kit__say', { text: 'x' })).text, 'x');
    const refused = await raises(Refused, () => session.call('demo__echo', { text: 'x' }));
    same(refused.code, way.codes?.unknown ?? -32602);
  },
};

/**
 * Make the named checks of some ways to connect: each is `<way>.<name>`.
 *
 * A way is {name, version, connect(token, server)}; connect gives a session: {version, server,
 * tools(), call(name, arguments, hear?), close()}. What may differ from the others' is `server`,
 * the name the other side has; `refusal`, what is said of a wrong token; `codes` of errors; and
 * `without`, checks of what the client cannot do.
 */
export function register(...ways) {
  for (const way of ways) {
    let shared;
    const session = () => (shared ??= opened(way, gateway.token));
    const wanted = ([name]) => !way.without?.includes(name);

    for (const [name, ask] of Object.entries(inSession).filter(wanted)) {
      check(`${way.name}.${name}`, async () => ask(way, await session()));
    }

    for (const [name, ask] of Object.entries(onItsOwn).filter(wanted)) {
      check(`${way.name}.${name}`, () => ask(way));
    }
  }
}

/** Run the checks, and close what they opened. */
export async function run() {
  await runChecks();
  await Promise.all(sessions.map((session) => session.close()));
}

/** Return a snippet of the pages, `<client>.<form>`, for the gateway at hand. */
export function documented(name) {
  assert(name in documentedSnippets, name);
  return documentedSnippets[name];
}

/** Run a documented program, which lists the tools, beside the packages. */
export function checkDocumented(name) {
  check(`documented.${name}`, async () => {
    const path = new URL(`./documented-${name}.mjs`, import.meta.url).pathname;
    await writeFile(path, documented(name));
    const { stdout } = await promisify(execFile)(process.execPath, [path]);
    same(stdout.split('\n').filter((line) => line.startsWith('kit__')), KIT_TOOLS);
  });
}

/** Return a client of an SDK as a session; `callTool` is what differs between their versions. */
export function sessionOf(client, version, callTool) {
  return {
    version: version(),
    server: client.getServerVersion()?.name ?? '',
    close: () => client.close(),
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args, hear) => {
      let result;

      try {
        result = await callTool({ name, arguments: args }, hear ? { onprogress: hear } : {});
      } catch (error) {
        throw typeof error.code === 'number' ? new Refused(error.code, error.message) : error;
      }

      return {
        text: result.content.map((part) => part.text).join(''),
        structured: result.structuredContent,
        isError: result.isError ?? false,
      };
    },
  };
}

async function opened(way, token, server) {
  const session = await way.connect(token, server);
  sessions.push(session);
  return session;
}

function told(error) {
  return error ? `${error.name}: ${error.message}\n${error.code ?? ''}\n${told(error.cause)}` : '';
}
