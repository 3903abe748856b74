// Whatever a client sends, it gets a clear answer or none, and nobody else notices.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  expectRefusal,
  expectStatus,
  logins,
  story,
} from './harness.mjs';

const NOT_HEX = 'zzzzzzzzzzzzzzzzzzzzzzzz';
const TEN_MEBIBYTES = 10 * 1024 * 1024;

function nested(depth) {
  let value = 'bottom';
  for (let level = 0; level < depth; level += 1) value = level % 2 ? [value] : { value };
  return value;
}

function payloads(conversationId) {
  return [
    null,
    'text',
    '',
    [],
    [conversationId, 'text'],
    42,
    -0.5,
    true,
    {},
    { conversationId: null, content: 'x' },
    { conversationId: { $ne: null }, content: 'x' },
    { conversationId: [conversationId], content: 'x' },
    { conversationId: 7, content: 'x' },
    { conversationId: NOT_HEX, content: 'x' },
    { conversationId, content: { text: 'x' } },
    { conversationId, content: nested(100) },
    { conversationId, content: 'x', type: { $gt: '' } },
    nested(100),
    Buffer.from('bytes'),
  ];
}

// A pair that has nothing to do with the nonsense, connected before it begins.
async function bystanders(stage) {
  const [u3, u4] = await logins(2);
  const [s3, s4, conversationId] = await Promise.all([
    stage.connect('S3', GATEWAY_A, u3),
    stage.connect('S4', GATEWAY_B, u4),
    u3.openConversation(u4),
  ]);
  return async function stillTalk() {
    const ways = [[s3, s4, 'still'], [s4, s3, 'here']];
    for (const [from, to, content] of ways) {
      from.emit('send-message', { conversationId, content });
      await to.heard('message', ({ text }) => text === content);
    }
    for (const { label, log, socket } of [s3, s4]) {
      assert.ok(socket.connected, `${label} lost its connection`);
      const names = new Set(log.map(({ name }) => name));
      assert.ok(!names.has('error'), `${label} heard of somebody else's mistake`);
    }
  };
}

for (const clientType of ['electron', 'unified', undefined]) {
  story(`nonsense leaves a socket (${clientType ?? 'undeclared'}) alive`, async (stage) => {
    const stillTalk = await bystanders(stage);
    const [u1, u2] = await logins(2);
    const conversationId = await u1.openConversation(u2);
    const [s1, s2] = await Promise.all([
      stage.connect('S1', GATEWAY_A, u1, { clientType }),
      stage.connect('S2', GATEWAY_B, u2),
    ]);
    for (const payload of payloads(conversationId)) {
      s1.emit('send-message', payload);
      s1.emit('message:send', payload);
    }
    for (const name of ['send-message', 'message:send']) {
      s1.emit(name);
      s1.emit(name, null, { conversationId, content: 'second argument' }, 3);
    }
    for (const payload of payloads(conversationId)) {
      const ack = await s1.ask('message:send', payload);
      const shown = `${JSON.stringify(payload)} -> ${JSON.stringify(ack)}`;
      assert.equal(ack.ok, false, shown);
      assert.equal(typeof ack.error, 'string', shown);
      assert.ok(ack.message && typeof ack.message === 'string', shown);
    }
    assert.ok(s1.socket.connected);
    for (const error of s1.all('error')) assert.equal(typeof error.message, 'string');
    assert.deepEqual(await u1.history(conversationId), []);
    await s2.silence();

    s1.emit('send-message', { conversationId, content: 'sense' });
    await s2.heard('message', ({ text }) => text === 'sense');
    await stillTalk();
  });
}

story('unknown and empty events are ignored', async (stage) => {
  const stillTalk = await bystanders(stage);
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  const [s1, s2] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S2', GATEWAY_B, u2),
  ]);
  const names = [
    'no-such-event',
    'send_message',
    'message:created',
    '__proto__',
    '',
    'join-conversation',
    'leave-conversation',
    'mark-read',
    'delivered',
    'read_up_to',
    'typing',
    'typing-stopped',
    'call:invite',
    'call:answer',
    'call:candidate',
    'call:hangup',
    'call_offer',
    'call_answer',
    'ice_candidate',
    'call_end',
  ];
  for (const name of names) {
    for (const payload of [null, 'text', [], 42, { conversationId: { $ne: null } }]) {
      s1.emit(name, payload);
    }
    s1.emit(name);
  }
  await s2.silence();
  assert.ok(s1.socket.connected);
  const answer = await s1.socket.timeout(5_000).emitWithAck('no-such-event', {});
  assert.deepEqual([answer.ok, answer.error], [false, 'not_found']);
  s1.emit('send-message', { conversationId, content: 'sense' });
  await s2.heard('message', ({ text }) => text === 'sense');
  await stillTalk();
});

story('nonsense over HTTP is refused by name', async (stage) => {
  const stillTalk = await bystanders(stage);
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  const anyone = new Http(GATEWAY_A);
  const { http } = u1;

  for (const text of ['{', '{"text":', '"text"', '42', 'true', '{"a":1}}']) {
    expectRefusal(await http.send('POST', '/api/messages', text), 400, 'SyntaxError');
  }
  expectRefusal(await http.post('/api/messages', [1, 2]), 400, 'validation_error');
  expectRefusal(await http.send('POST', '/api/messages'), 400, 'validation_error');
  expectRefusal(await anyone.send('POST', '/api/auth/send-otp-login', '{'), 400, 'SyntaxError');

  const text = 'x';
  const badConversation = { text, conversationId: NOT_HEX };
  expectRefusal(await http.post('/api/messages', badConversation), 400, 'invalid_conversation_id');
  expectRefusal(await http.post('/api/messages', { text, toId: NOT_HEX }), 400);
  expectRefusal(await http.post('/api/messages', { text, toId: { $ne: null } }), 400);
  expectRefusal(await http.post('/api/messages', { text, conversationId, replyTo: NOT_HEX }), 400);
  expectRefusal(await http.get(`/api/messages?conversation=${NOT_HEX}`), 400);
  expectRefusal(await http.get(`/api/messages/conversation/${NOT_HEX}`), 400);
  expectRefusal(await http.get('/api/messages'), 400, 'validation_error');
  expectRefusal(await http.post('/api/conversations', { otherUserId: NOT_HEX }), 400);
  expectRefusal(await http.post('/api/conversations', {}), 400, 'validation_error');
  const tolerant = expectStatus(await http.get(`/api/users/by-ids?ids=${NOT_HEX},,`), 200);
  assert.deepEqual(tolerant, { success: true, users: {} });

  const sessionId = { $ne: null };
  const injected = { otp: '123456', sessionId };
  expectRefusal(await anyone.post('/api/auth/verify-otp-login', injected), 400);

  assert.deepEqual(await u1.history(conversationId), []);
  await stillTalk();
});

story('paths and methods that do not exist are not found', async () => {
  const [u1] = await logins(1);
  const anyone = new Http(GATEWAY_A);
  const { http } = u1;
  expectRefusal(await http.send('PUT', '/api/messages', '{}'), 404, 'not_found');
  expectRefusal(await http.send('DELETE', '/api/conversations'), 404, 'not_found');
  expectRefusal(await anyone.send('DELETE', '/api/auth/me'), 404, 'not_found');
  expectRefusal(await anyone.get('/api/auth/nothing-here'), 404, 'not_found');
  expectRefusal(await anyone.get('/nothing-here'), 404, 'not_found');
  const resources = ['messages', 'conversations', 'users', 'groups', 'notifications', 'calls'];
  for (const resource of resources) {
    const path = `/api/${resource}/nothing/below/here`;
    expectRefusal(await anyone.get(path), 401, 'unauthorized');
    expectRefusal(await http.get(path), 404, 'not_found');
  }
});

story('a body of 10 MiB is too large', async (stage) => {
  const stillTalk = await bystanders(stage);
  const [u1] = await logins(1);
  const body = Buffer.from(JSON.stringify({ text: 'x'.repeat(TEN_MEBIBYTES) }));
  const received = await u1.http.sendInPieces('POST', '/api/messages', body);
  expectRefusal(received, 413, 'PayloadTooLargeError');
  await stillTalk();
});
