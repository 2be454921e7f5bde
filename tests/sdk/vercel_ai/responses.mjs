// The AI SDK over the Responses API, and its embeddings.

import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, embed, embedMany, generateText } from 'ai';

import { PLAIN, REASONING, check, gateway, raises, same } from '../harness.mjs';
import { TRIP, Trip, ask, stream, usedTool } from './agents.mjs';

const openai = createOpenAI({ baseURL: gateway.base, apiKey: gateway.token });
const compatible = createOpenAICompatible({ name: 'spindle', baseURL: gateway.base, apiKey: gateway.token });

check('responses.unary', async () => {
  const result = await generateText(ask(openai.responses('up~plain'), { instructions: 'Be brief.' }));
  same([result.text, result.finishReason], [PLAIN, 'stop']);
  same(result.usage.totalTokens, result.usage.inputTokens + result.usage.outputTokens);
});

check('responses.stream', async () => {
  const result = stream(ask(openai.responses('up~plain')));
  same([await result.text, await result.finishReason], [PLAIN, 'stop']);
  const unary = await generateText(ask(openai.responses('up~plain')));
  same((await result.usage).totalTokens, unary.usage.totalTokens);
});

check('responses.tools', async () => {
  await usedTool(generateText, openai.responses('up~tools'));
  await usedTool(stream, openai.responses('up~tools'));
});

check('responses.structured', async () => {
  const wanted = ask(openai.responses('up~structured'), { output: Output.object({ schema: Trip }) });
  same((await generateText(wanted)).output, TRIP);
  same(await stream(wanted).output, TRIP);
});

check('responses.reasoning', async () => {
  const options = { providerOptions: { openai: { reasoningSummary: 'auto', forceReasoning: true } } };
  same((await generateText(ask(openai.responses('up~reasoning'), options))).reasoningText, REASONING);
  same(await stream(ask(openai.responses('up~reasoning'), options)).reasoningText, REASONING);
});

check('responses.errors', async () => {
  for (const [name, status] of [['up~absent', 404], ['up~fussy', 400], ['up~error-429', 429]]) {
    const error = await raises(APICallError, () => generateText(ask(openai.responses(name))));
    same(error.statusCode, status);
  }
});

check('embeddings', async () => {
  for (const model of [openai.embeddingModel('up~embed'), compatible.embeddingModel('up~embed')]) {
    const many = await embedMany({ model, values: ['one', 'two', 'three'], maxRetries: 0 });
    same([many.embeddings.length, many.embeddings[0].length], [3, 8]);
    same((await embed({ model, value: 'two', maxRetries: 0 })).embedding, many.embeddings[1]);
  }
});
