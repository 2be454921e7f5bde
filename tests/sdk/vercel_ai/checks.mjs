// What the gateway owes the AI SDK, by its OpenAI-compatible and its OpenAI provider.

import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, RetryError, generateText, isStepCount, streamText, tool } from 'ai';
import { z } from 'zod';

import { PLAIN, REASONING, Requests, check, gateway, raises, run, same } from '../harness.mjs';
import './responses.mjs';
import './anthropic.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

const CHAT = '/v1/chat/completions';
const TRIP = { city: 'Zürich', days: 2 };
const Trip = z.object({ city: z.string(), days: z.number() });

function compatible(token = gateway.token) {
  return createOpenAICompatible({
    name: 'spindle',
    baseURL: gateway.base,
    apiKey: token,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
}

const chat = compatible();
const openai = createOpenAI({ baseURL: gateway.base, apiKey: gateway.token });

function ask(model, more = {}) {
  return { model: chat(model), prompt: 'say it', maxRetries: 0, ...more };
}

/** A stream's errors are parts of it: let them be read, not logged. */
function stream(options) {
  return streamText({ onError: () => {}, ...options });
}

async function partsOf(result) {
  const parts = [];

  for await (const part of result.fullStream) {
    parts.push(part);
  }

  return parts;
}

function weather(asked) {
  return tool({
    description: 'Tell the weather.',
    inputSchema: Trip,
    execute: async (input) => {
      asked.push(input);
      return 'sunny';
    },
  });
}

for (const [name, provider] of [['compatible', chat], ['openai', openai.chat]]) {
  check(`${name}.unary`, async () => {
    const result = await generateText({ ...ask('up~plain'), model: provider('up~plain'), instructions: 'Be brief.' });
    same([result.text, result.finishReason], [PLAIN, 'stop']);
    same(result.usage.totalTokens, result.usage.inputTokens + result.usage.outputTokens);
    same(result.finalStep.response.modelId, 'up~plain');
  });

  check(`${name}.stream`, async () => {
    const result = stream({ ...ask('up~plain'), model: provider('up~plain') });
    let text = '';

    for await (const piece of result.textStream) {
      text += piece;
    }

    same([text, await result.finishReason], [PLAIN, 'stop']);
    const unary = await generateText({ ...ask('up~plain'), model: provider('up~plain') });
    same((await result.usage).totalTokens, unary.usage.totalTokens);
  });

  check(`${name}.tools_unary`, async () => {
    const asked = [];
    const result = await generateText({
      ...ask('up~tools'),
      model: provider('up~tools'),
      tools: { weather: weather(asked) },
      stopWhen: isStepCount(3),
    });
    same([asked, result.steps.length], [[TRIP], 2]);
    same(result.text, 'The tools said: sunny');
  });

  check(`${name}.tools_stream`, async () => {
    const asked = [];
    const result = stream({
      ...ask('up~tools'),
      model: provider('up~tools'),
      tools: { weather: weather(asked) },
      stopWhen: isStepCount(3),
    });
    same(await result.text, 'The tools said: sunny');
    same([asked, (await result.steps).length], [[TRIP], 2]);
  });

  check(`${name}.structured`, async () => {
    const wanted = { ...ask('up~structured'), model: provider('up~structured'), output: Output.object({ schema: Trip }) };
    same((await generateText(wanted)).output, TRIP);
    same(await stream(wanted).output, TRIP);
  });

  check(`${name}.hard_name`, async () => {
    const result = await generateText({ ...ask(''), model: provider('up~org/plain:7b') });
    same(result.text, PLAIN);
  });
}

check('compatible.reasoning', async () => {
  same((await generateText(ask('up~reasoning'))).reasoningText, REASONING);
  same(await stream(ask('up~reasoning')).reasoningText, REASONING);
});

check('errors.by_status', async () => {
  const cases = [
    ['up~fussy', gateway.token, 400, false],
    ['up~plain', 'spn_nobody', 401, false],
    ['mock~plain', gateway.bareToken, 403, false],
    ['up~absent', gateway.token, 404, false],
    ['up~error-429', gateway.token, 429, true],
    ['up~error-500', gateway.token, 502, true],
  ];

  for (const [name, token, status, isRetryable] of cases) {
    const options = { ...ask(name), model: compatible(token)(name) };
    const error = await raises(APICallError, () => generateText(options));
    same([error.statusCode, error.isRetryable], [status, isRetryable]);
    assert(error.message && !error.message.startsWith('{'), error.message);

    const parts = await partsOf(stream(options));
    const failures = parts.filter((part) => part.type === 'error');
    same(failures.map((part) => part.error.statusCode), [status]);
  }
});

check('errors.in_stream', async () => {
  for (const name of ['up~in-stream-error', 'up~cut']) {
    const parts = await partsOf(stream(ask(name)));
    const failures = parts.filter((part) => part.type === 'error');
    same(failures.length, 1);
    same(parts.filter((part) => part.type === 'finish' && part.finishReason === 'stop'), []);
    assert(!JSON.stringify(failures).includes('sk-upstream'));
  }
});

check('retries.on_5xx', async () => {
  const requests = await Requests.on(CHAT);
  const error = await raises(RetryError, () => generateText(ask('up~error-503', { maxRetries: 1 })));
  same(error.reason, 'maxRetriesExceeded');
  await requests.expect(2);
});

check('retries.none_on_the_callers_fault', async () => {
  const requests = await Requests.on(CHAT);
  await raises(APICallError, () => generateText(ask('up~absent', { maxRetries: 2 })));
  await requests.expect(1);
});

check('retries.honour_retry_after_ms', async () => {
  const requests = await Requests.on(CHAT);
  const result = await generateText(ask('up~limited-long', { maxRetries: 1, prompt: 'vercel' }));
  same(result.text, PLAIN);
  await requests.expect(2);
});

await run();
