// New clients declare `unified`: one event name per meaning, one spelling per field, and an
// acknowledgement for every event they send.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  ID,
  INSTANT,
  assertBothSpellings,
  expectStatus,
  logins,
  quietly,
  randomId,
  randomPhone,
  story,
} from './harness.mjs';

const unified = { clientType: 'unified' };

const LEGACY_KEYS = [
  '_id',
  'messageId',
  'from',
  'sender',
  'to',
  'text',
  'conversation',
  'fileUrl',
  'fileName',
  'fileType',
  'media',
  'deleted',
  'isDeleted',
  'messageType',
  'lastMessageAt',
];
const LEGACY_EVENTS = ['connected', 'message', 'message-sent', 'receive-message'];

async function trio(stage) {
  const [u1, u2, u3] = await logins(3);
  const [s1, s1Other, s2, s3, conversationId] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1, unified),
    stage.connect('S1 other', GATEWAY_B, u1, unified),
    stage.connect('S2', GATEWAY_B, u2, unified),
    stage.connect('S3', GATEWAY_A, u3, unified),
    u1.openConversation(u2),
  ]);
  return { u1, u2, u3, s1, s1Other, s2, s3, conversationId };
}

const identified = (id) => (message) => message.id === id;

function assertUnified(message) {
  const shown = JSON.stringify(message);
  assert.match(message.id, ID, shown);
  assert.match(message.conversationId, ID, shown);
  assert.ok(Number.isInteger(message.seq) && message.seq >= 1, shown);
  assert.match(message.senderId, ID, shown);
  assert.equal(typeof message.content, 'string', shown);
  assert.equal(typeof message.type, 'string', shown);
  assert.match(message.createdAt, INSTANT, shown);
  for (const key of LEGACY_KEYS) assert.ok(!(key in message), `${key} in ${shown}`);
}

function accepted(ack) {
  assert.equal(ack.ok, true, JSON.stringify(ack));
  assertUnified(ack.message);
  return ack.message;
}

function refused(ack, ...codes) {
  const shown = JSON.stringify(ack);
  assert.equal(ack.ok, false, shown);
  assert.ok(typeof ack.error === 'string', shown);
  assert.ok(ack.message && typeof ack.message === 'string', shown);
  assert.ok(!('success' in ack), shown);
  if (codes.length > 0) assert.ok(codes.includes(ack.error), `expected ${codes}; ${shown}`);
}

function withoutClientId({ clientId: _, ...message }) {
  return message;
}

story('a message is acknowledged and created once for everybody else', async (stage) => {
  const { u1, s1, s1Other, s2, s3, conversationId } = await trio(stage);
  const send = { conversationId, content: 'hello', type: 'text', clientId: 'c1' };
  const message = accepted(await s1.ask('message:send', send));
  assert.equal(message.conversationId, conversationId);
  assert.equal(message.senderId, u1.id);
  assert.equal(message.content, 'hello');
  assert.equal(message.type, 'text');
  assert.equal(message.seq, 1);
  assert.equal(message.clientId, 'c1');

  for (const listener of [s1Other, s2]) {
    const created = await listener.heard('message:created', identified(message.id));
    assertUnified(created);
    assert.deepEqual(withoutClientId(created), withoutClientId(message));
  }
  await Promise.all([s1, s1Other, s2, s3].map((listener) => listener.silence()));
  assert.equal(s1Other.count('message:created'), 1);
  assert.equal(s2.count('message:created'), 1);
  for (const listener of [s1, s3]) assert.equal(listener.count('message:created'), 0);
  for (const listener of [s1, s1Other, s2, s3]) {
    for (const name of LEGACY_EVENTS) {
      assert.equal(listener.count(name), 0, `${listener.label} heard ${name}`);
    }
  }
});

story('the same client id twice is the same message, created once', async (stage) => {
  const { u1, s1, s1Other, s2, conversationId } = await trio(stage);
  const send = { conversationId, content: 'hello', clientId: 'c1' };
  const first = accepted(await s1.ask('message:send', send));
  for (const listener of [s1Other, s2]) {
    await listener.heard('message:created', identified(first.id));
  }
  const second = await quietly([s1, s1Other, s2], () => s1.ask('message:send', send));
  assert.deepEqual(accepted(second), first);
  assert.equal((await u1.history(conversationId)).length, 1);
});

story('a message finds its recipient by id and by phone', async (stage) => {
  const { u2, u3, s1, s2, s3 } = await trio(stage);
  for (const [user, listener] of [[u2, s2], [u3, s3]]) {
    const byId = accepted(await s1.ask('message:send', { toId: user.id, content: 'by id' }));
    const byPhone = accepted(
      await s1.ask('message:send', { toPhone: user.phone, content: 'by phone' }),
    );
    assert.equal(byPhone.conversationId, byId.conversationId);
    assert.equal(byPhone.seq, byId.seq + 1);
    for (const { id } of [byId, byPhone]) await listener.heard('message:created', identified(id));
  }
});

story('an attachment travels under one spelling', async (stage) => {
  const { s1, s2, conversationId } = await trio(stage);
  const url = 'https://pictures.example.com/cat.png';
  const send = { conversationId, content: 'look', type: 'image', attachment: { url } };
  const message = accepted(await s1.ask('message:send', send));
  const created = await s2.heard('message:created', identified(message.id));
  for (const picture of [message, created]) {
    assertUnified(picture);
    assert.equal(picture.type, 'image');
    assert.equal(picture.content, 'look');
    assert.equal(picture.attachment.url, url);
  }
});

story('a refused message is acknowledged with its reason', async (stage) => {
  const { u1, s1, s1Other, s2, s3, conversationId } = await trio(stage);
  const ask = (payload) => s1.ask('message:send', payload);
  await quietly([s1, s1Other, s2], async () => {
    refused(await ask({ conversationId }), 'validation_error');
    refused(await ask({ content: 'x' }), 'validation_error');
    refused(await ask({ conversationId, content: 'x', type: 'poem' }), 'validation_error');
    refused(await ask({ conversationId, content: 'x'.repeat(4001) }), 'too_long');
    refused(await ask({ conversationId: 'z'.repeat(24), content: 'x' }), 'invalid_conversation_id');
    refused(await ask({ conversationId: randomId(), content: 'x' }), 'conversation_not_found');
    refused(await ask({ toId: randomId(), content: 'x' }), 'user_not_found');
    refused(await ask({ toPhone: randomPhone(), content: 'x' }), 'user_not_found');
    refused(await s3.ask('message:send', { conversationId, content: 'x' }), 'forbidden');
  });
  for (const listener of [s1, s3]) assert.equal(listener.count('error'), 0);
  assert.deepEqual(await u1.history(conversationId), []);
});

story('old and new vocabularies hear each other', async (stage) => {
  const { u1, u2, s1, s2, conversationId } = await trio(stage);
  const [mobile, desktop] = await Promise.all([
    stage.connect('mobile of U2', GATEWAY_A, u2, { clientType: 'flutter' }),
    stage.connect('desktop of U2', GATEWAY_A, u2, { clientType: 'electron' }),
  ]);
  const message = accepted(await s1.ask('message:send', { conversationId, content: 'new' }));
  const called = ({ _id }) => _id === message.id;
  for (const old of [
    await mobile.heard('message', called),
    await desktop.heard('receive-message', called),
  ]) {
    assertBothSpellings(old);
    assert.equal(old.from, u1.id);
    assert.equal(old.to, u2.id);
    assert.equal(old.text, 'new');
    assert.equal(old.createdAt, message.createdAt);
    for (const key of ['id', 'senderId', 'seq']) {
      assert.ok(!(key in old), `${key} in a legacy event`);
    }
  }

  desktop.emit('send-message', { conversationId, content: 'old', clientId: 'c1' });
  const sent = await desktop.heard('message-sent', ({ content }) => content === 'old');
  for (const listener of [s1, s2]) {
    const created = await listener.heard('message:created', identified(sent._id));
    assertUnified(created);
    assert.equal(created.senderId, u2.id);
    assert.equal(created.seq, message.seq + 1);
  }

  const body = { from: u1.id, text: 'by HTTP', conversationId };
  const posted = expectStatus(await u1.http.post('/api/messages', body), 200).message;
  for (const listener of [s1, s2]) {
    await listener.heard('message:created', identified(posted._id));
  }
});
