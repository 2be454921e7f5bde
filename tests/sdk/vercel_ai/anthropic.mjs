// The AI SDK over Anthropic's messages.

import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { APICallError, Output, generateText } from 'ai';

import { PLAIN, Requests, check, gateway, raises, same, upstreamRequests } from '../harness.mjs';
import { TRIP, Trip, ask, stream, usedTool } from './agents.mjs';

const SIGNATURE = 'EqQBCkYICBgCKkDx+signature/of+thought==';

function anthropic(token = gateway.token) {
  return createAnthropic({ baseURL: gateway.base, apiKey: token });
}

check('anthropic.unary', async () => {
  for (const provider of ['claude', 'up']) {
    const result = await generateText(ask(anthropic()(`${provider}~plain`), { instructions: 'Be brief.' }));
    same([result.text, result.finishReason], [PLAIN, 'stop']);
    assert(result.usage.inputTokens && result.usage.outputTokens);
  }
});

check('anthropic.stream', async () => {
  for (const provider of ['claude', 'up']) {
    const result = stream(ask(anthropic()(`${provider}~plain`)));
    same([await result.text, await result.finishReason], [PLAIN, 'stop']);
    const unary = await generateText(ask(anthropic()(`${provider}~plain`)));
    same((await result.usage).outputTokens, unary.usage.outputTokens);
  }
});

check('anthropic.tools', async () => {
  for (const provider of ['claude', 'up']) {
    await usedTool(generateText, anthropic()(`${provider}~tools`));
    await usedTool(stream, anthropic()(`${provider}~tools`));
  }
});

check('anthropic.thinking', async () => {
  const options = {
    providerOptions: { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } },
    maxOutputTokens: 2048,
  };

  for (const run of [generateText, stream]) {
    const result = await usedTool(run, anthropic()('claude~signed-tools'), options);
    const [first] = await result.steps;
    const [thought] = first.reasoning;
    same([thought.text, thought.providerOptions.anthropic.signature], ['I need a tool.', SIGNATURE]);
    // It goes back with the tool's result, as it came.
    const [sent] = (await upstreamRequests()).at(-1).body.messages[1].content;
    same([sent.thinking, sent.signature], ['I need a tool.', SIGNATURE]);
  }
});

check('anthropic.structured', async () => {
  const wanted = ask(anthropic()('claude~structured'), {
    output: Output.object({ schema: Trip }),
    providerOptions: { anthropic: { structuredOutputMode: 'outputFormat' } },
  });
  same((await generateText(wanted)).output, TRIP);
  same(await stream(wanted).output, TRIP);
});

check('anthropic.errors', async () => {
  const cases = [
    ['claude~fussy', gateway.token, 400],
    ['claude~plain', 'spn_nobody', 401],
    ['claude~absent', gateway.token, 404],
    ['claude~error-429', gateway.token, 429],
    ['claude~error-500', gateway.token, 502],
  ];

  for (const [name, token, status] of cases) {
    const error = await raises(APICallError, () => generateText(ask(anthropic(token)(name))));
    same(error.statusCode, status);
    assert(error.message && !error.message.startsWith('{'), error.message);
  }
});

check('anthropic.errors_in_stream', async () => {
  for (const name of ['claude~in-stream-error', 'claude~cut', 'up~in-stream-error']) {
    const failures = [];

    for await (const part of stream(ask(anthropic()(name))).fullStream) {
      if (part.type === 'error') {
        failures.push(part.error);
      }
    }

    same(failures.length, 1);
    assert(!JSON.stringify(failures).includes('sk-upstream'));
  }
});

check('anthropic.retries', async () => {
  const requests = await Requests.on('/v1/messages');
  await raises(APICallError, () => generateText(ask(anthropic()('claude~absent'), { maxRetries: 2 })));
  await requests.expect(1);
});
