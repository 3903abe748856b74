// Messages sent back to back on one socket keep their order everywhere: at a recipient on the other
// gateway, at the sender's other socket, and in the history.

import assert from 'node:assert/strict';
import { GATEWAY_A, GATEWAY_B, logins, story } from './harness.mjs';

async function sendInOneBreath(stage, count) {
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  const [sender, other, legacy, unified] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1, { clientType: 'electron' }),
    stage.connect('S1 other', GATEWAY_B, u1, { clientType: 'electron' }),
    stage.connect('S2', GATEWAY_B, u2),
    stage.connect('S2 unified', GATEWAY_B, u2, { clientType: 'unified' }),
  ]);
  const contents = Array.from({ length: count }, (_, index) => `message ${index + 1}`);
  for (const content of contents) {
    sender.emit('send-message', { conversationId, content, clientId: content });
  }
  const byName = [
    [sender, 'message-sent'],
    [other, 'message-sent'],
    [legacy, 'receive-message'],
    [legacy, 'message'],
    [unified, 'message:created'],
  ];
  for (const [listener, name] of byName) {
    const heard = await listener.heardTimes(count, name);
    assert.deepEqual(heard.map(({ content }) => content), contents, `${listener.label}: ${name}`);
  }
  const numbers = unified.all('message:created').map(({ seq }) => seq);
  assert.deepEqual(numbers, contents.map((_, index) => index + 1));

  const history = await u2.history(conversationId);
  assert.deepEqual(history.map(({ content }) => content), contents);
  const instants = history.map(({ createdAt }) => createdAt);
  assert.deepEqual(instants, [...new Set(instants)].sort(), 'each later than the one before');
}

for (const count of [2, 50]) {
  story(`${count} messages in one breath keep their order`, (stage) => {
    return sendInOneBreath(stage, count);
  });
}

story('both sides talking at once are heard in one order', async (stage) => {
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  const unified = { clientType: 'unified' };
  const [s1, s2, w1, w2] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1, unified),
    stage.connect('S2', GATEWAY_B, u2, unified),
    stage.connect('U1 listening', GATEWAY_B, u1, unified),
    stage.connect('U2 listening', GATEWAY_A, u2, unified),
  ]);
  const rounds = Array.from({ length: 10 }, (_, index) => index + 1);
  const acks = await Promise.all(
    rounds.flatMap((round) => [
      s1.ask('message:send', { conversationId, content: `one ${round}` }),
      s2.ask('message:send', { conversationId, content: `two ${round}` }),
    ]),
  );
  const total = acks.length;
  for (const ack of acks) assert.equal(ack.ok, true, JSON.stringify(ack));
  const everyNumber = Array.from({ length: total }, (_, index) => index + 1);
  const heard = [];
  for (const listener of [w1, w2]) {
    const messages = await listener.heardTimes(total, 'message:created');
    assert.deepEqual(messages.map(({ seq }) => seq), everyNumber, listener.label);
    heard.push(messages.map(({ id }) => id));
  }
  assert.deepEqual(heard[0], heard[1]);
  assert.deepEqual((await u1.history(conversationId)).map(({ _id }) => _id), heard[0]);
  for (const [listener, side] of [[w1, 'one'], [w2, 'two']]) {
    const own = listener.all('message:created', ({ content }) => content.startsWith(side));
    assert.deepEqual(own.map(({ content }) => content), rounds.map((round) => `${side} ${round}`));
  }
});
