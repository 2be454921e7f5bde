// What every MCP client for node is asked to do, written once; the twin of harness.py.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { check, raises, same, run as runChecks } from './named_checks.mjs';

export { check, raises, same } from './named_checks.mjs';

const environment = process.env;
export const gateway = {
  url: environment.SPINDLE_URL,
  token: environment.SPINDLE_TOKEN,
  endpoint: (server) => (server ? `${gateway.url}/servers/${server}/mcp` : `${gateway.url}/mcp`),
};
export const BRIDGE = JSON.parse(environment.SPINDLE_BRIDGE ?? '[]');
export const [MODERN, LEGACY] = ['2026-07-28', '2025-11-25'];

export const KIT_TOOLS = [
  ...['kit__acquire', 'kit__await', 'kit__fail', 'kit__go', 'kit__hang'],
  ...['kit__refuse', 'kit__say', 'kit__slow', 'kit__weigh', 'kit__write'],
];
/** What a client declares, and what it answers an upstream that asks. */
export const CAPABILITIES = { elicitation: {}, roots: {}, sampling: {} };
const [NAME, SAMPLE, ROOT] = ['Ada', 'Forty-two', 'file:///work'];
const ANSWERS = {
  'elicitation/create': { action: 'accept', content: { name: NAME } },
  'sampling/createMessage': { role: 'assistant', content: { type: 'text', text: SAMPLE }, model: 'mine' },
  'roots/list': { roots: [{ uri: ROOT }] },
};
const LIBRARY = 'spindle://library/';
const [README, PICTURE] = [`${LIBRARY}file:///README.md`, `${LIBRARY}test://picture`];
const NEWS_MS = 20_000;
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

/** What a client hears of: `tools`, `prompts`, `resources` for lists, URIs of resources. */
export class News {
  heard = new Set();
  more = () => {};

  hear({ method, params }) {
    if (method === 'notifications/resources/updated') this.heard.add(params.uri);
    if (method.endsWith('/list_changed')) this.heard.add(method.split('/')[1]);
    this.more();
  }

  /** Return when all of it was heard of, since the last time this was asked. */
  async until(...wanted) {
    const deadline = Date.now() + NEWS_MS;

    while (!wanted.every((each) => this.heard.has(each))) {
      assert(Date.now() < deadline, `heard of ${[...this.heard]}, not of all of ${wanted}`);
      await new Promise((resolve) => {
        this.more = resolve;
        setTimeout(resolve, NEWS_MS / 10).unref();
      });
    }

    this.heard.clear();
  }
}

async function asks(session, tool, answer) {
  const { text } = await session.call(`asking__${tool}`, {});
  assert(text.startsWith('heard') && text.includes(answer), text);
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

  'call.left': async (way, session) => {
    const name = `${process.pid} ${way.name} left`;
    const leaving = new AbortController();
    const call = session.call('kit__hang', { name }, undefined, leaving.signal).catch(() => 'left');
    same((await session.call('kit__await', { name, what: 'began' })).text, 'began');
    leaving.abort();
    same((await session.call('kit__await', { name, what: 'left' })).text, 'left');
    same(await call, 'left');
  },

  'resources.list': async (_, session) => {
    const listed = await session.resources();
    assert([README, PICTURE, 'ui://library/clock/main.html'].every((uri) => listed.includes(uri)), listed);
  },

  'resources.templates': async (_, session) => {
    const [greetings, notes] = ['spindle://demo/demo://greetings/{language}', `${LIBRARY}note://{shelf}/{name}`];
    same(await session.templates(), [greetings, notes]);
  },

  'resources.read': async (_, session) => {
    const note = `${LIBRARY}note://attic/hat`;
    same(await session.read(README), [[README, 'text of file:///README.md']]);
    same(await session.read(PICTURE), [[PICTURE, 'aGk=']]);
    same(await session.read(note), [[note, 'text of note://attic/hat']]);
  },

  'resources.unknown': async (way, session) => {
    const refused = await raises(Refused, () => session.read(`${LIBRARY}file:///nothing`));
    same(refused.code, way.codes?.noResource ?? (way.version === MODERN ? -32602 : -32002));
  },

  'prompts.list': async (_, session) => {
    const listed = await session.prompts();
    assert(listed.includes('library__summary') && listed.includes('library__broken'), listed);
  },

  'prompts.get': async (_, session) => {
    same(await session.prompt('library__summary', { topic: 'owls' }), ['Sum up owls.', 'inside']);
  },

  complete: async (_, session) => {
    same(await session.complete('library__summary', 'topic', 'ow'), ['ow0', 'ow1', 'ow2']);
  },

  'asked.form': (_, session) => asks(session, 'elicit', NAME),
  'asked.sample': (_, session) => asks(session, 'sample', SAMPLE),
  'asked.roots': (_, session) => asks(session, 'roots', ROOT),

  // Who follows is answered when the upstream listens; one client answers by itself, and before.
  'news.updated': (way, session) =>
    session.following(README, async () => {
      const write = () => session.call('kit__write', { uri: 'file:///README.md' });
      const again = way.followsLater ? setInterval(write, 200) : undefined;
      await write();
      await session.news.until(README).finally(() => clearInterval(again));
    }),

  'news.lists': async (way, session) => {
    const name = `${way.name}${process.pid}`;

    await session.following(README, async () => {
      await session.call('kit__acquire', { name });
      await session.news.until('tools', 'prompts', 'resources');
    });

    assert((await session.tools()).includes(`library__${name}`));
    assert((await session.prompts()).includes(`library__${name}`));
    assert((await session.resources()).includes(`${LIBRARY}file:///${name}`));
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
 * A way is {name, version, connect(token, server)}; connect gives what `sessionOf` does, or as much
 * of it as the client can. What may differ from the others' is `server`, the name the other side
 * has; `refusal`, what is said of a wrong token; `codes` of errors; `followsLater`, where the answer
 * to following a resource comes before it is followed; and `without`, checks of what the client
 * cannot do: expected.py says why.
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

/** Have a client of an SDK answer what it is asked; `keyOf` is how its version names a method. */
export function answering(client, keyOf) {
  for (const [method, answer] of Object.entries(ANSWERS)) {
    client.setRequestHandler(keyOf(method), async () => answer);
  }

  return client;
}

/** Return a client of an SDK as a session; `callTool` is what differs between their versions. */
export function sessionOf(client, version, callTool) {
  const news = new News();
  client.fallbackNotificationHandler = async (note) => news.hear(note);

  return {
    news,
    version: version(),
    server: client.getServerVersion()?.name ?? '',
    close: () => client.close(),
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args, hear, signal) => {
      const options = { ...(hear && { onprogress: hear }), ...(signal && { signal }) };
      const result = await refusing(() => callTool({ name, arguments: args }, options));
      return {
        text: result.content.map((part) => part.text).join(''),
        structured: result.structuredContent,
        isError: result.isError ?? false,
      };
    },
    resources: async () => (await client.listResources()).resources.map(({ uri }) => uri),
    templates: async () => (await client.listResourceTemplates()).resourceTemplates.map((each) => each.uriTemplate),
    read: async (uri) => contentsOf(await refusing(() => client.readResource({ uri }))),
    prompts: async () => (await client.listPrompts()).prompts.map(({ name }) => name),
    prompt: async (name, args) => messagesOf(await client.getPrompt({ name, arguments: args })),
    complete: async (name, argument, value) => {
      const ref = { type: 'ref/prompt', name };
      return (await client.complete({ ref, argument: { name: argument, value } })).completion.values;
    },
    following: async (uri, body) => {
      if (version() === MODERN) {
        const lists = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };
        const subscription = await client.listen({ ...lists, resourceSubscriptions: [uri] });
        await body();
        await subscription.close();
      } else {
        await client.subscribeResource({ uri });
        await body();
        await client.unsubscribeResource({ uri });
      }
    },
  };
}

/** Return URI and content of each part of a resource. */
export const contentsOf = ({ contents }) => contents.map((part) => [part.uri, part.text ?? part.blob]);
/** Return what each message of a prompt says. */
export const messagesOf = ({ messages }) => messages.map(({ content }) => content.text ?? content.resource.text);

async function refusing(ask) {
  try {
    return await ask();
  } catch (error) {
    throw typeof error.code === 'number' ? new Refused(error.code, error.message) : error;
  }
}

async function opened(way, token, server) {
  const session = await way.connect(token, server);
  sessions.push(session);
  return session;
}

function told(error) {
  return error ? `${error.name}: ${error.message}\n${error.code ?? ''}\n${told(error.cause)}` : '';
}
