// The TypeScript SDK, version 1, over HTTP and over the bridge.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';

import { BRIDGE, CAPABILITIES, LEGACY, answering, checkDocumented } from '../harness.mjs';
import { gateway, register, run, sessionOf } from '../harness.mjs';

const SCHEMAS = {
  'elicitation/create': ElicitRequestSchema,
  'sampling/createMessage': CreateMessageRequestSchema,
  'roots/list': ListRootsRequestSchema,
};

async function connected(transport, version) {
  const plain = new Client({ name: 'checks', version: '1' }, { capabilities: CAPABILITIES });
  const client = answering(plain, (method) => SCHEMAS[method]);
  await client.connect(transport);
  const callTool = (wanted, options) => client.callTool(wanted, undefined, options);
  return sessionOf(client, () => version ?? transport.protocolVersion, callTool);
}

register(
  {
    name: 'http',
    version: LEGACY,
    connect: (token, server) => {
      const requestInit = { headers: { authorization: `Bearer ${token}` } };
      const url = new URL(gateway.endpoint(server));
      return connected(new StreamableHTTPClientTransport(url, { requestInit }));
    },
  },
  {
    name: 'bridge',
    // Over standard input and output this version tells nobody what was agreed on.
    version: 'untold',
    connect: (token, server) => {
      const [command, ...args] = [...BRIDGE, '--url', gateway.url];
      const part = server ? ['--server', server] : [];
      const env = { SPINDLE_TOKEN: token };
      const transport = new StdioClientTransport({ command, args: [...args, ...part], env });
      return connected(transport, 'untold');
    },
  },
);

checkDocumented('typescript-sdk.v1');

await run();
