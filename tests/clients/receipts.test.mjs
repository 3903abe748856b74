// Ticks and typing between a mobile user (U1, S1 declares nothing) and a desktop user (U2, S2 declares
// `electron`, S2u nothing), and how new clients say and hear the same.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  INSTANT,
  expectStatus,
  logins,
  quietly,
  story,
} from './harness.mjs';
import { STILL_TO_COME, settled } from './settled.mjs';

// Nothing by any name, while it lasts and after.
const nothing = (ears, act) => quietly(ears, act, { background: STILL_TO_COME });

async function pair(stage) {
  const [u1, u2] = await logins(2);
  const [s1, s2, s2u] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S2', GATEWAY_B, u2, { clientType: 'electron' }),
    stage.connect('S2u', GATEWAY_A, u2),
  ]);
  return { u1, u2, s1, s2, s2u, conversationId: await u2.openConversation(u1) };
}

async function send(user, conversationId, text) {
  const body = { from: user.id, text, conversationId };
  return expectStatus(await user.http.post('/api/messages', body), 200).message;
}

async function row(user, conversationId) {
  const rows = expectStatus(await user.http.get(`/api/conversations?me=${user.id}`), 200);
  return rows.find((one) => one._id === conversationId);
}

story('F5: ticks come once and at the time of their message, and are moved by nobody else', async (stage) => {
  const [u1, u2, u3] = await logins(3);
  const conversationId = await u1.openConversation(u2);
  const [s1, s1b, s2] = await settled(stage, [
    ['S1', GATEWAY_A, u1],
    ['S1b', GATEWAY_B, u1],
    ['S2', GATEWAY_B, u2],
  ]);
  const first = await send(u1, conversationId, 'read me');
  const { _id: messageId, createdAt } = first;
  for (const ear of [s1, s1b, s2]) await ear.heard('message');
  for (const own of [s1, s1b]) await own.heard('message-sent');
  const tick = { messageId, conversationId, by: u2.id, at: createdAt };
  await nothing([s2], async () => {
    for (const _ of ['home', 'chat']) s2.emit('delivered', { messageId });
    for (const own of [s1, s1b]) assert.deepEqual(await own.heard('delivered'), tick);
  });
  for (const own of [s1, s1b]) assert.equal(own.count('delivered'), 1, own.label);
  const at = new Date().toISOString().replace('Z', '456Z');
  s2.emit('read_up_to', { conversationId, by: u2.id, at });
  for (const own of [s1, s1b]) {
    const read = await own.heard('read_up_to');
    assert.deepEqual(read, { conversationId, by: u2.id, at: createdAt });
  }
  await s2.heard('messages-read');
  const shown = await row(u1, conversationId);
  assert.deepEqual([shown.lastPreview, shown.lastFrom], ['read me', u1.id]);
  assert.equal(shown.lastOutgoingAt, createdAt);
  for (const cursors of [shown.deliveredUpTo, shown.readUpTo]) {
    assert.deepEqual(cursors, { [u2.id]: createdAt });
  }

  // Nobody reads for somebody else, though that one has something to read.
  await send(u2, conversationId, 'I have');
  for (const ear of [s1, s1b, s2]) await ear.heardTimes(2, 'message');
  await s2.heard('message-sent');
  const rows = async () => [await row(u1, conversationId), await row(u2, conversationId)];
  const before = await rows();
  assert.equal(before[0].unreadCount, 1);
  await nothing([s1, s1b, s2], () => {
    s2.emit('read_up_to', { conversationId, by: u1.id, at });
    s2.emit('read_up_to', { conversationId, by: u1.id });
  });
  assert.deepEqual(await rows(), before);

  // While he is away a stranger comes, who moves nothing; then he does.
  s2.socket.disconnect();
  const missed = await send(u1, conversationId, 'are you there?');
  for (const own of [s1, s1b]) await own.heardTimes(3, 'message');
  for (const own of [s1, s1b]) await own.heardTimes(2, 'message-sent');
  const background = new Set([...STILL_TO_COME, 'presence', 'user-status-changed']);
  const come = () => settled(stage, [['S3', GATEWAY_B, u3]]);
  await quietly([s1, s1b], come, { background });
  assert.deepEqual((await row(u1, conversationId)).deliveredUpTo, before[0].deliveredUpTo);
  await stage.connect('S2 again', GATEWAY_A, u2);
  for (const own of [s1, s1b]) {
    const [, caughtUp] = await own.heardTimes(2, 'delivered');
    const { _id, createdAt } = missed;
    assert.deepEqual(caughtUp, { messageId: _id, conversationId, by: u2.id, at: createdAt });
  }
  const cursors = (await row(u1, conversationId)).deliveredUpTo;
  assert.deepEqual(cursors, { ...before[0].deliveredUpTo, [u2.id]: missed.createdAt });
});

story('what the desktop reads ticks blue on the phone', async (stage) => {
  const { u1, u2, s1, s2, s2u, conversationId } = await pair(stage);
  const message = await send(u1, conversationId, 'read me');
  await s2.heard('receive-message');
  s2.emit('mark-read', { conversationId });
  const read = await s1.heard('read_up_to');
  assert.deepEqual(read, { conversationId, by: u2.id, at: message.createdAt });
  assert.deepEqual(await s2.heard('messages-read'), { conversationId });
  await s2u.heard('messages-read');
  assert.equal(s2u.count('read_up_to'), 0, 'nobody is told of his own reading as of another one');
  const shown = await row(u1, conversationId);
  for (const cursors of [shown.deliveredUpTo, shown.readUpTo]) {
    assert.ok(cursors[u2.id] >= shown.lastOutgoingAt);
  }
  assert.equal((await row(u2, conversationId)).unreadCount, 0);
});

story('the phone ticks grey and blue at the desktop, each once', async (stage) => {
  const { u1, u2, s1, s2, conversationId } = await pair(stage);
  const clientId = 'c1';
  s2.emit('send-message', { conversationId, content: 'tick me', clientId });
  const message = await s1.heard('message');
  s1.emit('delivered', { messageId: message._id });
  s1.emit('delivered', { messageId: message._id });
  const tick = { messageId: message._id, conversationId, by: u1.id, at: message.createdAt };
  assert.deepEqual(await s2.heard('delivered'), tick);
  const at = new Date().toISOString().replace('Z', '456Z');
  for (let times = 0; times < 3; times += 1) {
    s1.emit('read_up_to', { conversationId, by: u1.id, at });
  }
  const read = await s2.heard('messages:read-receipt');
  assert.match(read.readAt, INSTANT);
  const { readAt, ...rest } = read;
  assert.deepEqual(rest, { conversationId, messageIds: [message._id], readBy: u1.id });
  await s2.silence();
  assert.equal(s2.count('delivered'), 1);
  assert.equal(s2.count('messages:read-receipt'), 1);
  assert.equal(s2.count('read_up_to'), 0);
  assert.equal((await row(u1, conversationId)).unreadCount, 0);
});

story('what came while its reader was away ticks when he connects', async (stage) => {
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  const message = await send(u1, conversationId, 'are you there?');
  const s1 = await stage.connect('S1', GATEWAY_A, u1);
  await stage.connect('S2', GATEWAY_B, u2, { clientType: 'electron' });
  const tick = await s1.heard('delivered');
  assert.deepEqual(tick, {
    messageId: message._id,
    conversationId,
    by: u2.id,
    at: message.createdAt,
  });
});

story('the families see each other type', async (stage) => {
  const { u1, u2, s1, s2, s2u, conversationId } = await pair(stage);
  const typing = (from, value) => (body) => body.from === from && body.typing === value;
  s2.emit('typing', { conversationId });
  const seen = await s1.heard('typing', typing(u2.id, true));
  assert.match(seen.at, INSTANT);
  assert.equal(seen.conversationId, conversationId);
  s2.emit('typing-stopped', { conversationId });
  await s1.heard('typing', typing(u2.id, false));

  s1.emit('typing', { to: u2.id, conversationId: null, typing: true });
  await s2.heard('typing', typing(u1.id, true));
  s1.emit('typing', { to: u2.id, conversationId: null, typing: false });
  await s2.heard('typing-stopped', typing(u1.id, false));
  await s2u.heard('typing-stopped', typing(u1.id, false));
  const names = s2u.log.map(({ name }) => name).filter((name) => name.startsWith('typing'));
  assert.deepEqual(names, ['typing', 'typing', 'typing-stopped'], 'the clearest name comes last');
  assert.equal(s2.count('typing', typing(u1.id, false)), 0);
});

story('strangers move no ticks and are seen by nobody', async (stage) => {
  const [u1, u2, u3] = await logins(3);
  const conversationId = await u2.openConversation(u1);
  const electron = { clientType: 'electron' };
  const [s1, s2, s3] = await settled(stage, [
    ['S1', GATEWAY_A, u1],
    ['S2', GATEWAY_B, u2, electron],
    ['S3', GATEWAY_B, u3, electron],
  ]);
  const message = await send(u1, conversationId, 'ours');
  await s2.heard('receive-message');
  for (const name of ['message', 'message-sent']) await s1.heard(name);
  const before = await row(u1, conversationId);
  await nothing([s1, s2], async () => {
    await nothing([s3], () => {
      s3.emit('delivered', { messageId: message._id });
      s3.emit('read_up_to', { conversationId, by: u1.id });
      s3.emit('read_up_to', { conversationId, by: u3.id });
      s3.emit('typing', { conversationId });
      s3.emit('typing', { to: u1.id });
      s3.emit('typing', null);
      s3.emit('delivered', null);
    });
    s3.emit('mark-read', { conversationId });
    const refused = await s3.heard('error');
    assert.equal(typeof refused.message, 'string');
  });
  const after = await row(u1, conversationId);
  assert.deepEqual(after.readUpTo, before.readUpTo);
  assert.deepEqual(after.deliveredUpTo, before.deliveredUpTo);
});

story('new clients are answered, and catch up by one question', async (stage) => {
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  await send(u1, conversationId, '1');
  const reader = await stage.connect('U2', GATEWAY_B, u2, { clientType: 'unified' });
  const first = await reader.ask('sync', { conversations: [{ id: conversationId, seq: 0 }] });
  assert.equal(first.ok, true);
  assert.deepEqual(first.conversations[0].messages.map(({ seq }) => seq), [1]);
  assert.match(first.serverTime, INSTANT);
  const read = await reader.ask('receipt:read', { conversationId });
  assert.deepEqual(read, { ok: true, conversationId, seq: 1 });
  reader.socket.disconnect();

  await send(u1, conversationId, '2');
  const again = await stage.connect('U2 again', GATEWAY_A, u2, { clientType: 'unified' });
  const missed = await again.ask('sync', {
    conversations: [{ id: conversationId, seq: 1 }],
    since: first.serverTime,
  });
  assert.deepEqual(missed.conversations[0].messages.map(({ content }) => content), ['2']);
  assert.equal(missed.conversations[0].hasMore, false);
  assert.deepEqual(missed.left, []);
  const path = `/api/conversations/${conversationId}/messages?after=1`;
  const page = expectStatus(await new Http(GATEWAY_B, u2.token).get(path), 200);
  assert.deepEqual(page.messages.map(({ seq }) => seq), [2]);
});
