// What the walk of what clients say shares: its people, what no event takes, and that what is refused is refused
// in all its ways.

import assert from 'node:assert/strict';
import { QUIET_MS } from './contract.mjs';
import { GATEWAY_A, GATEWAY_B, logins, quietly } from './harness.mjs';
import { STILL_TO_COME, settled } from './settled.mjs';

export const NOT_HEX = 'z'.repeat(24);

// No event takes any of these.
export const NONSENSE = [
  null,
  'text',
  42,
  true,
  [],
  [[]],
  {},
  { conversationId: { $ne: null }, messageId: { $gt: '' }, callId: {}, to: {}, content: {} },
  { conversationId: ['x'], messageId: ['x'], callId: ['x'], to: ['x'], sdp: [], candidate: [] },
  { conversationId: null, messageId: null, callId: null, to: null },
];

// U1 and U2 have a conversation, U3 has none. Nobody declares anything: such a socket hears the
// names of both old families.
export async function cast(stage) {
  const [u1, u2, u3] = await logins(3);
  const conversationId = await u1.openConversation(u2);
  const [s1, s1b, s2, s3] = await settled(stage, [
    ['S1', GATEWAY_A, u1],
    ['S1b', GATEWAY_B, u1],
    ['S2', GATEWAY_B, u2],
    ['S3', GATEWAY_A, u3],
  ]);
  return { stage, u1, u2, u3, s1, s1b, s2, s3, conversationId };
}

// Acts, and asserts that these hear nothing of it by any name, while it lasts and after.
export function hush(ears, act) {
  return quietly(ears, act, { ms: QUIET_MS, background: STILL_TO_COME });
}

// Says each payload, once asking for an answer and once as the old clients do, and asserts that it
// is refused for one of its reasons, by the event `failure` or in silence, and that nobody else
// notices. What changes nothing may be `fine`, too.
export async function refusedAll(speaker, others, name, failure, refused) {
  await hush(failure ? others : [...others, speaker], async () => {
    let told = failure && speaker.count(failure);
    for (const [payload, ...reasons] of refused) {
      const check = (body, isFine) => {
        const shown = `${name} ${JSON.stringify(payload)} -> ${JSON.stringify(body)}`;
        const reason = isFine ? 'fine' : body.error;
        assert.ok(reasons.includes(reason), `expected ${reasons}; ${shown}`);
        assert.ok(isFine || (body.message && typeof body.message === 'string'), shown);
      };
      const answer = await speaker.ask(name, payload);
      check(answer, answer.ok);
      speaker.emit(name, payload);
      if (!failure) continue;
      told += 2;
      const failures = await speaker.heardTimes(told, failure);
      assert.equal(failures.length, told, `${name} is refused once`);
      for (const body of failures.slice(-2)) check(body, false);
    }
  });
}
