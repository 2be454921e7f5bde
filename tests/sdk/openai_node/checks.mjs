// What the gateway owes the OpenAI SDK for node.

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { PLAIN, REASONING, REFUSAL, Requests, check, gateway, raises, run, same } from '../harness.mjs';
import './embeddings.mjs';
import './responses.mjs';

const ASK = [{ role: 'user', content: 'say it' }];
const ARGUMENTS = { city: 'Zürich', days: 2 };
const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city', 'days'],
      additionalProperties: false,
    },
    strict: true,
  },
};
const CLOCK = { type: 'function', function: { name: 'clock', parameters: { type: 'object' } } };
const Trip = z.object({ city: z.string(), days: z.number() });
const CHAT = '/v1/chat/completions';

const client = new OpenAI({ baseURL: gateway.base, apiKey: gateway.token, maxRetries: 0 });
const completions = client.chat.completions;

async function collected(stream) {
  const chunks = [];

  for await (const chunk of stream) {
    chunks.push(chunk);
  }

  return chunks;
}

function textOf(chunks, field = 'content') {
  return chunks.map((chunk) => chunk.choices[0]?.delta[field] ?? '').join('');
}

check('chat.unary', async () => {
  const answer = await completions.create({ model: 'up~plain', messages: ASK, temperature: 0.2 });
  same(answer.choices[0].message.content, PLAIN);
  same(answer.choices[0].finish_reason, 'stop');
  same([answer.object, answer.model], ['chat.completion', 'up~plain']);
  same(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

check('chat.stream', async () => {
  const chunks = await collected(
    await completions.create({
      model: 'up~plain',
      messages: ASK,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  same(textOf(chunks), PLAIN);
  same(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.model}`)).size, 1);
  same(chunks.filter((chunk) => chunk.choices[0]?.delta.role).length, 1);
  const unary = await completions.create({ model: 'up~plain', messages: ASK });
  same(chunks.at(-1).choices, []);
  same(chunks.at(-1).usage, unary.usage);
});

check('chat.stream_without_usage', async () => {
  const chunks = await collected(
    await completions.create({ model: 'up~plain', messages: ASK, stream: true }),
  );
  same(chunks.filter((chunk) => chunk.usage || !chunk.choices.length), []);
});

check('chat.stream_helper', async () => {
  const stream = client.chat.completions.stream({ model: 'up~plain', messages: ASK });
  let text = '';
  stream.on('content', (delta) => (text += delta));
  const final = await stream.finalChatCompletion();
  same([text, final.choices[0].message.content], [PLAIN, PLAIN]);
  same(final.choices[0].message.role, 'assistant');
  same(final.choices[0].finish_reason, 'stop');
});

check('chat.tools_unary', async () => {
  const messages = [...ASK];
  const first = await completions.create({ model: 'up~tools', messages, tools: [WEATHER] });
  same(first.choices[0].finish_reason, 'tool_calls');
  const [call] = first.choices[0].message.tool_calls;
  same([call.function.name, JSON.parse(call.function.arguments)], ['weather', ARGUMENTS]);
  messages.push(first.choices[0].message);
  messages.push({ role: 'tool', tool_call_id: call.id, content: 'sunny' });
  const last = await completions.create({ model: 'up~tools', messages, tools: [WEATHER] });
  same(last.choices[0].message.content, 'The tools said: sunny');
});

// The runner makes the whole round trip by itself.
async function runTools(stream) {
  const asked = [];
  const runner = completions.runTools({
    model: 'up~tools',
    messages: ASK,
    stream,
    tools: [
      {
        type: 'function',
        function: {
          ...WEATHER.function,
          strict: undefined,
          parse: JSON.parse,
          function: (input) => {
            asked.push(input);
            return 'sunny';
          },
        },
      },
    ],
  });
  same(await runner.finalContent(), 'The tools said: sunny');
  same(asked, [ARGUMENTS]);
}

check('chat.tools_runner', () => runTools(false));
check('chat.tools_stream', () => runTools(true));

check('chat.parallel_tools', async () => {
  const wanted = { model: 'up~parallel-tools', messages: ASK, tools: [WEATHER, CLOCK] };
  const names = (message) => message.tool_calls.map((call) => [call.id, call.function.name]);
  const unary = await completions.create(wanted);
  const expected = names(unary.choices[0].message);
  same(expected.map(([, name]) => name), ['weather', 'clock']);
  const final = await completions.stream(wanted).finalChatCompletion();
  same(names(final.choices[0].message), expected);
});

check('chat.structured_parse', async () => {
  const answer = await completions.parse({
    model: 'up~structured',
    messages: ASK,
    response_format: zodResponseFormat(Trip, 'trip'),
  });
  same(answer.choices[0].message.parsed, ARGUMENTS);
});

check('chat.structured_stream', async () => {
  const stream = completions.stream({
    model: 'up~structured',
    messages: ASK,
    response_format: zodResponseFormat(Trip, 'trip'),
  });
  const final = await stream.finalChatCompletion();
  same(final.choices[0].message.parsed, ARGUMENTS);
});

check('chat.json_object', async () => {
  const answer = await completions.create({
    model: 'up~structured',
    messages: ASK,
    response_format: { type: 'json_object' },
  });
  same(JSON.parse(answer.choices[0].message.content), ARGUMENTS);
});

check('chat.content_parts', async () => {
  const messages = [
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', content: [{ type: 'text', text: 'one ' }, { type: 'text', text: 'two' }] },
  ];
  const answer = await completions.create({ model: 'up~echo', messages });
  same(answer.choices[0].message.content, 'one two');
});

check('chat.reasoning', async () => {
  const unary = await completions.create({ model: 'up~reasoning', messages: ASK });
  same(unary.choices[0].message.reasoning_content, REASONING);
  same(unary.choices[0].message.content, 'The answer is 42.');
  const chunks = await collected(
    await completions.create({ model: 'up~reasoning', messages: ASK, stream: true }),
  );
  same(textOf(chunks, 'reasoning_content'), REASONING);
});

check('chat.refusal', async () => {
  const unary = await completions.create({ model: 'up~refusal', messages: ASK });
  same([unary.choices[0].message.refusal, unary.choices[0].message.content], [REFUSAL, null]);
  const stream = completions.stream({ model: 'up~refusal', messages: ASK });
  const done = [];
  stream.on('refusal.done', (event) => done.push(event.refusal));
  const final = await stream.finalChatCompletion();
  same([done, final.choices[0].message.refusal], [[REFUSAL], REFUSAL]);
});

check('chat.length', async () => {
  const answer = await completions.create({ model: 'up~length', messages: ASK });
  same(answer.choices[0].finish_reason, 'length');
  const stream = completions.stream({
    model: 'up~length',
    messages: ASK,
    response_format: zodResponseFormat(Trip, 'trip'),
  });
  await raises(OpenAI.OpenAIError, () => stream.finalChatCompletion());
});

check('chat.choices', async () => {
  const unary = await completions.create({ model: 'up~choices', messages: ASK, n: 2 });
  same(unary.choices.map((choice) => choice.message.content), [PLAIN, PLAIN]);
  const chunks = await collected(
    await completions.create({ model: 'up~choices', messages: ASK, n: 2, stream: true }),
  );
  const texts = ['', ''];

  for (const { index, delta } of chunks.flatMap((chunk) => chunk.choices)) {
    texts[index] += delta.content ?? '';
  }

  same(texts, [PLAIN, PLAIN]);
});

check('chat.hard_name', async () => {
  const answer = await completions.create({ model: 'up~org/plain:7b', messages: ASK });
  same([answer.model, answer.choices[0].message.content], ['up~org/plain:7b', PLAIN]);
});

check('chat.request_id', async () => {
  const { data, response, request_id } = await completions
    .create({ model: 'up~plain', messages: ASK })
    .withResponse();
  assert(request_id);
  same(response.headers.get('x-request-id'), request_id);
  same(data._request_id, request_id);
});

check('models.list', async () => {
  const models = new Map();

  for await (const model of client.models.list()) {
    models.set(model.id, model);
  }

  for (const name of ['up~plain', 'up~org/plain:7b', 'mock~plain']) {
    assert(models.has(name), name);
  }

  same([models.get('up~plain').object, models.get('up~plain').owned_by], ['model', 'up']);
  same(typeof models.get('up~plain').created, 'number');
});

check('models.retrieve', async () => {
  for (const name of ['up~plain', 'up~org/plain:7b']) {
    same((await client.models.retrieve(name)).id, name);
  }

  await raises(OpenAI.NotFoundError, () => client.models.retrieve('up~absent'));
});

function refused(kind, model, { stream = false, token = gateway.token, maxRetries = 0 } = {}) {
  const other = client.withOptions({ apiKey: token, maxRetries });
  return raises(kind, () => other.chat.completions.create({ model, messages: ASK, stream }));
}

async function counted(count, kind, model, token = gateway.token) {
  const requests = await Requests.on(CHAT);
  const error = await refused(kind, model, { token, maxRetries: 2 });
  await requests.expect(count);
  return error;
}

check('errors.400', async () => {
  const error = await refused(OpenAI.BadRequestError, 'up~fussy');
  same([error.status, error.type], [400, 'invalid_request_error']);
  await raises(OpenAI.BadRequestError, () =>
    completions.create({ model: 'up~plain', messages: 'not a list' }),
  );
});

check('errors.401', async () => {
  const error = await refused(OpenAI.AuthenticationError, 'up~plain', { token: 'spn_nobody', maxRetries: 2 });
  same([error.status, error.code], [401, 'invalid_api_key']);
  assert(error.type);
  assert(error.requestID);
  const stranger = client.withOptions({ apiKey: 'spn_nobody' });
  await raises(OpenAI.AuthenticationError, () => stranger.models.list());
});

check('errors.403', async () => {
  const error = await refused(OpenAI.PermissionDeniedError, 'mock~plain', { token: gateway.bareToken });
  same([error.status, error.type], [403, 'permission_error']);
});

check('errors.404', async () => {
  for (const stream of [false, true]) {
    const error = await refused(OpenAI.NotFoundError, 'up~absent', { stream });
    same([error.status, error.code, error.param], [404, 'model_not_found', 'model']);
  }
});

check('errors.429', async () => {
  for (const stream of [false, true]) {
    const error = await refused(OpenAI.RateLimitError, 'up~error-429', { stream });
    same([error.status, error.type], [429, 'rate_limit_error']);
    assert(error.headers.get('retry-after-ms'));
    assert(error.headers.get('retry-after'));
  }
});

check('errors.5xx', async () => {
  for (const model of ['up~error-500', 'up~error-503', 'up~error-401', 'up~html']) {
    for (const stream of [false, true]) {
      const error = await refused(OpenAI.InternalServerError, model, { stream });
      assert(error.type);
      same(error.headers.get('x-spindle-origin'), 'upstream');
    }
  }
});

check('errors.in_stream', async () => {
  for (const model of ['up~in-stream-error', 'up~cut']) {
    const stream = await completions.create({ model, messages: ASK, stream: true });
    const error = await raises(OpenAI.APIError, () => collected(stream));
    assert(error.type, JSON.stringify(error));
    assert(error.message);
  }
});

check('retries.none_on_the_callers_fault', async () => {
  await counted(1, OpenAI.NotFoundError, 'up~absent');
  await counted(1, OpenAI.BadRequestError, 'up~fussy');
});

check('retries.none_when_told_not_to', async () => {
  // The upstream refuses our key: no repetition helps.
  await counted(1, OpenAI.InternalServerError, 'up~error-401');
  const error = await counted(1, OpenAI.RateLimitError, 'mock~plain', gateway.poorToken);
  same(error.headers.get('x-should-retry'), 'false');
  same(error.code, 'insufficient_quota');
});

check('retries.on_5xx', async () => {
  await counted(3, OpenAI.InternalServerError, 'up~error-503');
});

check('retries.honour_retry_after_ms', async () => {
  for (const model of ['up~limited', 'up~broken']) {
    const requests = await Requests.on(CHAT);
    const answer = await client
      .withOptions({ maxRetries: 1 })
      .chat.completions.create({ model, messages: [{ role: 'user', content: `node ${model}` }] });
    same(answer.choices[0].message.content, PLAIN);
    await requests.expect(2);
  }
});

await run();
