// The Responses API through the OpenAI SDK for node.

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { PLAIN, REASONING, REFUSAL, Requests, check, gateway, raises, same } from '../harness.mjs';

const client = new OpenAI({ baseURL: gateway.base, apiKey: gateway.token, maxRetries: 0 });
const { responses } = client;
const ARGUMENTS = { city: 'Zürich', days: 2 };
const Trip = z.object({ city: z.string(), days: z.number() });
const WEATHER = {
  type: 'function',
  name: 'weather',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer' } },
    required: ['city', 'days'],
    additionalProperties: false,
  },
  strict: true,
};
// One whose answers are of the kin, and one whose are translated.
const PROVIDERS = ['up', 'claude'];

async function eventsOf(wanted) {
  const events = [];

  for await (const event of await responses.create({ input: 'say it', ...wanted, stream: true })) {
    events.push(event);
  }

  return events;
}

function output(call) {
  return { type: 'function_call_output', call_id: call.call_id, output: 'sunny' };
}

function thought(response) {
  const item = response.output.find((each) => each.type === 'reasoning');
  return [...item.summary, ...(item.content ?? [])].map((part) => part.text).join('');
}

check('responses.create', async () => {
  for (const provider of PROVIDERS) {
    const answer = await responses.create({ model: `${provider}~plain`, input: 'say it', instructions: 'Brief.' });
    same([answer.object, answer.status, answer.output_text], ['response', 'completed', PLAIN]);
    same(answer.output.map((item) => [item.type, item.role]), [['message', 'assistant']]);
    same(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
  }
});

check('responses.stream_events', async () => {
  for (const provider of PROVIDERS) {
    const events = await eventsOf({ model: `${provider}~plain` });
    same(events.map((event) => event.sequence_number), [...events.keys()]);
    same(
      [...new Set(events.map((event) => event.type.replace('response.', '')))],
      [
        ...['created', 'in_progress', 'output_item.added', 'content_part.added'],
        ...['output_text.delta', 'output_text.done', 'content_part.done'],
        ...['output_item.done', 'completed'],
      ],
    );
    const deltas = events.filter((event) => event.type === 'response.output_text.delta');
    same(deltas.map((event) => event.delta).join(''), PLAIN);
  }
});

check('responses.stream_helper', async () => {
  const stream = responses.stream({ model: 'up~plain', input: 'say it' });
  let text = '';
  stream.on('response.output_text.delta', (event) => (text += event.delta));
  const final = await stream.finalResponse();
  same([text, final.output_text], [PLAIN, PLAIN]);
});

check('responses.tools', async () => {
  for (const provider of PROVIDERS) {
    const wanted = { model: `${provider}~tools`, tools: [WEATHER] };
    const input = [{ role: 'user', content: 'say it' }];
    const first = await responses.create({ ...wanted, input });
    const call = first.output.find((item) => item.type === 'function_call');
    same([call.name, JSON.parse(call.arguments)], ['weather', ARGUMENTS]);
    input.push(...first.output, output(call));
    same((await responses.create({ ...wanted, input })).output_text, 'The tools said: sunny');
  }
});

check('responses.tools_stream', async () => {
  for (const provider of PROVIDERS) {
    const wanted = { model: `${provider}~tools`, tools: [WEATHER] };
    const first = await responses.stream({ ...wanted, input: 'say it' }).finalResponse();
    const call = first.output.find((item) => item.type === 'function_call');
    same(JSON.parse(call.arguments), ARGUMENTS);
    const next = { ...wanted, input: [output(call)], previous_response_id: first.id };
    same((await responses.stream(next).finalResponse()).output_text, 'The tools said: sunny');
  }
});

check('responses.structured_parse', async () => {
  const wanted = { model: 'up~structured', input: 'say it', text: { format: zodTextFormat(Trip, 'trip') } };
  same((await responses.parse(wanted)).output_parsed, ARGUMENTS);
  same((await responses.stream(wanted).finalResponse()).output_parsed, ARGUMENTS);
});

check('responses.reasoning', async () => {
  const wanted = { model: 'up~reasoning', input: 'say it', reasoning: { summary: 'auto' } };
  same(thought(await responses.create(wanted)), REASONING);
  same(thought(await responses.stream(wanted).finalResponse()), REASONING);
});

check('responses.refusal', async () => {
  const unary = await responses.create({ model: 'up~refusal', input: 'say it' });
  same(unary.output[0].content.map((part) => part.refusal), [REFUSAL]);
  const events = await eventsOf({ model: 'up~refusal' });
  const done = events.filter((event) => event.type === 'response.refusal.done');
  same(done.map((event) => event.refusal), [REFUSAL]);
});

check('responses.incomplete', async () => {
  const unary = await responses.create({ model: 'up~length', input: 'say it' });
  same([unary.status, unary.incomplete_details.reason], ['incomplete', 'max_output_tokens']);
  same((await eventsOf({ model: 'up~length' })).at(-1).type, 'response.incomplete');
});

check('responses.retrieve', async () => {
  const made = await responses.create({ model: 'up~plain', input: 'say it' });
  const kept = await responses.retrieve(made.id);
  same([kept.id, kept.output_text], [made.id, PLAIN]);
});

check('responses.delete', async () => {
  const made = await responses.create({ model: 'up~plain', input: 'say it' });
  await responses.delete(made.id);
  await raises(OpenAI.NotFoundError, () => responses.retrieve(made.id));
});

check('responses.input_items', async () => {
  const made = await responses.create({ model: 'up~echo', input: [{ role: 'user', content: 'one' }] });
  const texts = [];

  for await (const item of responses.inputItems.list(made.id)) {
    texts.push(...item.content.map((part) => part.text));
  }

  same(texts, ['one']);
});

check('responses.previous_response_id', async () => {
  const first = await responses.create({ model: 'up~echo', input: 'one' });
  const second = await responses.create({ model: 'up~echo', input: 'two', previous_response_id: first.id });
  same([second.output_text, second.previous_response_id], ['two', first.id]);
});

check('responses.errors', async () => {
  const create = (model) => () => responses.create({ model, input: 'say it' });
  await raises(OpenAI.NotFoundError, create('up~absent'));
  await raises(OpenAI.BadRequestError, create('up~fussy'));
  await raises(OpenAI.RateLimitError, create('up~error-429'));
  await raises(OpenAI.InternalServerError, create('up~error-500'));
  await raises(OpenAI.NotFoundError, () => responses.retrieve('resp_absent'));
});

check('responses.errors_in_stream', async () => {
  for (const model of ['up~in-stream-error', 'up~cut']) {
    // The `error` event before `response.failed` is an exception here.
    assert((await raises(OpenAI.APIError, () => eventsOf({ model }))).message);
  }
});

check('responses.retries', async () => {
  const requests = await Requests.on('/v1/responses');
  const poor = client.withOptions({ apiKey: gateway.poorToken, maxRetries: 2 });
  await raises(OpenAI.RateLimitError, () => poor.responses.create({ model: 'mock~plain', input: 'one' }));
  await requests.expect(1);
});
