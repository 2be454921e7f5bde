// mcp-remote between a client that only starts programs and the gateway; also in its newer mode.

import { createRequire } from 'node:module';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

import { gateway, register, run, sessionOf } from '../harness.mjs';

const PROXY = createRequire(import.meta.url).resolve('mcp-remote/dist/proxy.js');
const { HOME, PATH, MCP_REMOTE_CONFIG_DIR } = process.env;

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
    const client = new Client({ name: 'checks', version: '1' });
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
  { name: 'auto', version, refusal, connect: connect('auto') },
);

await run();
