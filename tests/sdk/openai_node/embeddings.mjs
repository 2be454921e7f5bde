// Embeddings through the OpenAI SDK for node, which asks for base64 unless told otherwise.

import OpenAI from 'openai';

import { check, gateway, raises, same } from '../harness.mjs';

const client = new OpenAI({ baseURL: gateway.base, apiKey: gateway.token, maxRetries: 0 });
const { embeddings } = client;

check('embeddings.default_is_base64', async () => {
  const found = (await embeddings.create({ model: 'up~embed', input: 'one' })).data[0].embedding;
  const floats = await embeddings.create({ model: 'up~embed', input: 'one', encoding_format: 'float' });
  same([found.length, Array.from(found)], [8, floats.data[0].embedding]);
  const wanted = { model: 'up~embed', input: 'one', encoding_format: 'base64' };
  same(typeof (await embeddings.create(wanted)).data[0].embedding, 'string');
});

check('embeddings.float', async () => {
  const wanted = { model: 'up~embed', input: ['one', 'two'], encoding_format: 'float' };
  const answer = await embeddings.create(wanted);
  same([answer.object, answer.model], ['list', 'up~embed']);
  same(answer.data.map((each) => [each.object, each.index]), [['embedding', 0], ['embedding', 1]]);
  same(answer.usage.total_tokens, answer.usage.prompt_tokens);
});

check('embeddings.of_an_upstream_without_base64', async () => {
  const input = ['one', 'two'];
  const vectors = async (model) =>
    (await embeddings.create({ model, input })).data.map((each) => Array.from(each.embedding));
  same(await vectors('up~embed-float'), await vectors('up~embed'));
});

check('embeddings.order', async () => {
  const input = Array.from({ length: 20 }, (_, number) => `text ${number}`);
  const whole = await embeddings.create({ model: 'up~embed', input });
  const single = await embeddings.create({ model: 'up~embed', input: input[13] });
  same(whole.data[13].embedding, single.data[0].embedding);
});

check('embeddings.dimensions', async () => {
  const answer = await embeddings.create({ model: 'up~embed', input: 'one', dimensions: 4 });
  same(answer.data[0].embedding.length, 4);
});

check('embeddings.errors', async () => {
  await raises(OpenAI.NotFoundError, () => embeddings.create({ model: 'up~absent', input: 'one' }));
  await raises(OpenAI.BadRequestError, () => embeddings.create({ model: 'up~embed', input: [] }));
});
