// The Inspector's command line: a process for each request.

import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { KIT_TOOLS, Refused, check, documented, gateway, register, run, same } from '../harness.mjs';

const require = createRequire(import.meta.url);
const PACKAGE = require.resolve('@modelcontextprotocol/inspector/package.json');
const INSPECTOR = join(dirname(PACKAGE), require(PACKAGE).bin['mcp-inspector']);

const NO_LOGIN = '--stored-auth-only';

/** Run the command line and return the result that it prints, also that of a tool that failed. */
function inspect(era, token, server, args) {
  const command = [INSPECTOR, '--cli', '--server-url', gateway.endpoint(server)];
  const header = `Authorization: Bearer ${token}`;
  const options = ['--transport', 'http', '--header', header, '--protocol-era', era, NO_LOGIN];

  return new Promise((resolve, reject) => {
    const all = [...command, ...options, '--format', 'json', ...args];

    execFile(process.execPath, all, (_, out, err) => {
      if (out) {
        resolve(JSON.parse(out).result);
      } else {
        const { code, message } = JSON.parse(err.trim().split('\n').at(-1)).error;
        reject(new Refused(code, message));
      }
    });
  });
}

function connect(era) {
  return async (token, server) => ({
    close: () => {},
    tools: async () => {
      const result = await inspect(era, token, server, ['--method', 'tools/list']);
      return result.tools.map((tool) => tool.name);
    },
    call: async (name, args) => {
      const named = ['--method', 'tools/call', '--tool-name', name];
      const given = ['--tool-args-json', JSON.stringify(args)];
      const result = await inspect(era, token, server, [...named, ...given]);
      return {
        text: result.content.map((part) => part.text).join(''),
        structured: result.structuredContent,
        isError: result.isError ?? false,
      };
    },
  });
}

// It shows neither what was agreed on nor progress.
const without = ['connect', 'call.progress'];
// It has codes of its own, and looks for a tool in the list before it calls it.
const codes = { refused: 'error', unknown: 'tool_not_found' };

register(
  { name: 'legacy', without, codes, connect: connect('legacy') },
  { name: 'modern', without, codes, connect: connect('modern') },
);

// The version of the command is the one that is installed here, or it could not be run offline.
check('documented.inspector.command', async () => {
  const { stdout } = await promisify(execFile)('sh', ['-c', documented('inspector.command')]);
  const names = JSON.parse(stdout).tools.map((tool) => tool.name);
  same(names.filter((name) => name.startsWith('kit__')), KIT_TOOLS);
});

await run();
