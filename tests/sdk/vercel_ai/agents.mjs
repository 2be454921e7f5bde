// What the checks of the other surfaces have in common.

import { isStepCount, streamText, tool } from 'ai';
import { z } from 'zod';

import { same } from '../harness.mjs';

export const TRIP = { city: 'Zürich', days: 2 };
export const Trip = z.object({ city: z.string(), days: z.number() });

export function ask(model, more = {}) {
  return { model, prompt: 'say it', maxRetries: 0, ...more };
}

export function stream(options) {
  return streamText({ onError: () => {}, ...options });
}

/** Let an agent use its tool, and return what the tool was asked. */
export async function usedTool(run, model, more = {}) {
  const asked = [];
  const weather = tool({
    description: 'Tell the weather.',
    inputSchema: Trip,
    execute: async (input) => {
      asked.push(input);
      return 'sunny';
    },
  });
  const result = await run(ask(model, { tools: { weather }, stopWhen: isStepCount(3), ...more }));
  same(await result.text, 'The tools said: sunny');
  same(asked, [TRIP]);
  return result;
}
