// mcp-remote between a client that only starts programs and the gateway; also in its newer mode.

import { createRequire } from 'node:module';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';

import { CAPABILITIES, KIT_TOOLS, answering, check, documented } from '../harness.mjs';
import { gateway, register, run, same, sessionOf } from '../harness.mjs';

const PROXY = createRequire(import.meta.url).resolve('mcp-remote/dist/proxy.js');
const { HOME, PATH, MCP_REMOTE_CONFIG_DIR } = process.env;

const SCHEMAS = {
  'elicitation/create': ElicitRequestSchema,
  'sampling/createMessage': CreateMessageRequestSchema,
  'roots/list': ListRootsRequestSchema,
};

function connect(protocol) {
  return async (token, server) => {
    const header = 'Authorization:Bearer ${TOKEN}';
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [
        ...[PROXY, gateway.endpoint(server), '--header', header],
        ...['--transport', 'http-only', '--protocol', protocol],
      ],
      env: { HOME, PATH, MCP_REMOTE_CONFIG_DIR, TOKEN: token },
      stderr: 'pipe',
    });
    const plain = new Client({ name: 'checks', version: '1' }, { capabilities: CAPABILITIES });
    const client = answering(plain, (method) => SCHEMAS[method]);
    let said = '';
    transport.stderr.on('data', (part) => (said += part));

    try {
      await client.connect(transport);
    } catch (error) {
      throw new Error(said, { cause: error });
    }

    const callTool = (wanted, options) => client.callTool(wanted, undefined, options);
    return sessionOf(client, () => 'untold', callTool);
  };
}

// Towards its client it speaks as before 2026 either way, and tells nobody what was agreed on.
const version = 'untold';
// It takes a refused token for an invitation to log in, and there is nothing to log in at.
const refusal = /RegistrationRejectedError.*HTTP 404/;

register(
  { name: 'legacy', version, refusal, connect: connect('legacy') },
  {
    ...{ name: 'auto', version, refusal, connect: connect('auto') },
    // What the gateway says in the newer era it hands on as it is.
    ...{ codes: { noResource: -32602 }, followsLater: true, without: ['call.left'] },
  },
);

/** List the tools through a program; the version is the one installed here, or it would not start. */
async function lists(command, args, env) {
  const usual = { HOME, PATH, MCP_REMOTE_CONFIG_DIR, npm_config_offline: 'true' };
  const transport = new StdioClientTransport({ command, args, env: { ...usual, ...env } });
  const client = new Client({ name: 'checks', version: '1' });
  await client.connect(transport);
  const names = (await client.listTools()).tools.map((tool) => tool.name);
  await client.close();
  same(names.filter((name) => name.startsWith('kit__')), KIT_TOOLS);
}

const entryOf = (form) => Object.values(JSON.parse(documented(form)).mcpServers)[0];
const mine = { SPINDLE_TOKEN: gateway.token };

check('documented.mcp-remote.file', async () => {
  const { command, args } = entryOf('mcp-remote.file');
  await lists(command, args, mine);
});

check('documented.mcp-remote.command', async () => {
  await lists('sh', ['-c', `exec ${documented('mcp-remote.command')}`], mine);
});

check('documented.claude-desktop.mcp-remote', async () => {
  const { command, args, env } = entryOf('claude-desktop.mcp-remote');
  const pasted = env.AUTHORIZATION.replace('PASTE-THE-TOKEN-HERE', gateway.token);
  await lists(command, args, { AUTHORIZATION: pasted });
});

await run();
