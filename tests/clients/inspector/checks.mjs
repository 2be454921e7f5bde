// The Inspector's command line: a process for each request.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { KIT_TOOLS, Refused, check, contentsOf, documented, gateway } from '../harness.mjs';
import { messagesOf, raises, register, run, same } from '../harness.mjs';

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
  return async (token, server) => {
    const ask = (method, ...args) => inspect(era, token, server, ['--method', method, ...args]);

    return {
      close: () => {},
      tools: async () => (await ask('tools/list')).tools.map((tool) => tool.name),
      call: async (name, args) => {
        const given = ['--tool-args-json', JSON.stringify(args)];
        const result = await ask('tools/call', '--tool-name', name, ...given);
        return {
          text: result.content.map((part) => part.text).join(''),
          structured: result.structuredContent,
          isError: result.isError ?? false,
        };
      },
      resources: async () => (await ask('resources/list')).resources.map(({ uri }) => uri),
      templates: async () => {
        const { resourceTemplates } = await ask('resources/templates/list');
        return resourceTemplates.map((each) => each.uriTemplate);
      },
      read: async (uri) => contentsOf(await ask('resources/read', '--uri', uri)),
      prompts: async () => (await ask('prompts/list')).prompts.map(({ name }) => name),
      prompt: async (name, args) => {
        const given = Object.entries(args).map((pair) => pair.join('='));
        return messagesOf(await ask('prompts/get', '--prompt-name', name, '--prompt-args', ...given));
      },
    };
  };
}

// It shows neither what was agreed on nor progress, and is gone when it has printed its one answer.
const without = [
  ...['connect', 'call.progress', 'call.left', 'complete'],
  ...['asked.form', 'asked.sample', 'asked.roots', 'news.updated', 'news.lists'],
];
// It has codes of its own, and looks for a tool in the list before it calls it.
const codes = { refused: 'error', unknown: 'tool_not_found', noResource: 'error' };

for (const method of ['completion/complete', 'resources/subscribe']) {
  check(`cannot.${method}`, async () => {
    const refused = await raises(Refused, () => inspect('legacy', gateway.token, undefined, ['--method', method]));
    assert(/[Uu]nsupported|[Uu]nknown/.test(refused.message), refused.message);
  });
}

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
