// The TypeScript SDK, version 2, over HTTP in its three modes and over the bridge.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { BRIDGE, CAPABILITIES, LEGACY, MODERN, answering, checkDocumented } from '../harness.mjs';
import { gateway, register, run, sessionOf } from '../harness.mjs';

async function connected(transport, mode) {
  const options = { capabilities: CAPABILITIES, versionNegotiation: { mode } };
  const client = answering(new Client({ name: 'checks', version: '1' }, options), (method) => method);
  await client.connect(transport);
  const version = () => client.getNegotiatedProtocolVersion();
  return sessionOf(client, version, (wanted, options) => client.callTool(wanted, options));
}

function overHttp(mode) {
  return (token, server) => {
    const requestInit = { headers: { authorization: `Bearer ${token}` } };
    const url = new URL(gateway.endpoint(server));
    return connected(new StreamableHTTPClientTransport(url, { requestInit }), mode);
  };
}

function overBridge(mode) {
  return (token, server) => {
    const [command, ...args] = [...BRIDGE, '--url', gateway.url];
    const part = server ? ['--server', server] : [];
    const env = { SPINDLE_TOKEN: token };
    return connected(new StdioClientTransport({ command, args: [...args, ...part], env }), mode);
  };
}

register(
  { name: 'auto', version: MODERN, connect: overHttp('auto') },
  { name: 'modern', version: MODERN, connect: overHttp({ pin: MODERN }) },
  // It tells its caller of a missing resource as the newer protocol does.
  { name: 'legacy', version: LEGACY, codes: { noResource: -32602 }, connect: overHttp('legacy') },
  { name: 'bridge', version: MODERN, connect: overBridge('auto') },
);

checkDocumented('typescript-sdk.v2');

await run();
