// A mobile user (U1) and a desktop user (U2) in one conversation: S1 declares nothing, S2 declares
// `electron`, and S2u is a socket of U2 that declares nothing.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  ID,
  INSTANT,
  Http,
  assertBothSpellings,
  expectStatus,
  logins,
  story,
} from './harness.mjs';

async function pair(stage) {
  const [u1, u2] = await logins(2);
  const [s1, s2, s2u] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S2', GATEWAY_B, u2, { clientType: 'electron' }),
    stage.connect('S2u', GATEWAY_A, u2),
  ]);
  const desktop = new Http(GATEWAY_B, u2.token);
  return { u1, u2, s1, s2, s2u, desktop, conversationId: await u2.openConversation(u1) };
}

const called = (id) => (message) => message._id === id;

story('a conversation opened at the desktop is listed for both in their own shape', async () => {
  const [u1, u2] = await logins(2);
  const desktop = new Http(GATEWAY_B, u2.token);
  const body = { otherUserId: u1.id };
  const opened = expectStatus(await desktop.post('/api/conversations', body), 201);
  assert.equal(opened.success, true);
  const id = opened.conversation._id;
  assert.match(id, ID);

  const bare = expectStatus(await u1.http.get(`/api/conversations?me=${u1.id}`), 200);
  assert.ok(Array.isArray(bare));
  const row = bare.find((conversation) => conversation._id === id);
  assert.deepEqual([...row.participants].sort(), [u1.id, u2.id].sort());
  assert.ok(row.lastMessageAt || row.updatedAt || row.createdAt);
  assert.equal(row.lastPreview, '');
  assert.deepEqual(row.deliveredUpTo, {});
  assert.deepEqual(row.readUpTo, {});

  const wrapped = expectStatus(await desktop.get('/api/conversations'), 200);
  assert.equal(wrapped.success, true);
  const item = wrapped.conversations.find((conversation) => conversation._id === id);
  for (const members of [item.members, item.participants]) {
    assert.deepEqual(members.map((member) => member._id).sort(), [u1.id, u2.id].sort());
    for (const member of members) {
      assert.equal(typeof member.name, 'string');
      assert.equal(member.phone, member._id === u1.id ? u1.phone : u2.phone);
    }
  }

  const declared = new Http(GATEWAY_A, u2.token, { 'client-type': 'electron' });
  const enveloped = expectStatus(await declared.get(`/api/conversations?me=${u2.id}`), 200);
  assert.equal(enveloped.conversations[0]._id, id);
});

story('a mobile message arrives at the desktop under its own names', async (stage) => {
  const { u1, u2, s1, s2, s2u, conversationId } = await pair(stage);
  const body = { from: u1.id, text: 'from the phone', conversationId };
  const { message } = expectStatus(await u1.http.post('/api/messages', body), 200);

  const received = await s2.heard('receive-message', called(message._id));
  assertBothSpellings(received);
  assert.equal(received.sender, u1.id);
  assert.equal(received.content, 'from the phone');
  assert.equal(received.to, u2.id);
  await s2u.heard('receive-message', called(message._id));
  await s2u.heard('message', called(message._id));
  const echo = await s1.heard('message', called(message._id));
  assert.equal(echo.from, u1.id);

  await Promise.all([s1, s2, s2u].map((listener) => listener.silence()));
  assert.equal(s2.count('message'), 0);
  assert.equal(s2.count('receive-message'), 1);
  assert.equal(s2u.count('receive-message'), 1);
  assert.equal(s2u.count('message'), 1);
  assert.equal(s1.count('message'), 1);
  assert.equal(s1.count('receive-message'), 0);
});

story('a desktop message arrives at the phone under its own names', async (stage) => {
  const { u1, u2, s1, s2, s2u, conversationId } = await pair(stage);
  const send = { conversationId, content: 'from the desk', clientId: 'd1' };
  s2.emit('send-message', send);

  const sent = await s2.heard('message-sent', ({ clientId }) => clientId === 'd1');
  assert.equal((await s2u.heard('message-sent', called(sent._id))).clientId, 'd1');
  await s2u.heard('message', called(sent._id));
  const received = await s1.heard('message', called(sent._id));
  assertBothSpellings(received);
  assert.equal(received.from, u2.id);
  assert.equal(received.to, u1.id);
  assert.equal(received.text, 'from the desk');
  assert.equal(received.conversationId, conversationId);
  assert.match(received.createdAt, INSTANT);

  await Promise.all([s1, s2, s2u].map((listener) => listener.silence()));
  assert.equal(s2.count('message'), 0);
  assert.equal(s2.count('message-sent'), 1);
  assert.equal(s2u.count('message-sent'), 1);
  assert.equal(s2u.count('message'), 1);
  assert.equal(s1.count('message'), 1);
});

story('X1: a sound of the desktop is one at the phone', async (stage) => {
  const { u1, s1, s2, s2u, conversationId } = await pair(stage);
  const media = 'https://sounds.example.com/voice.m4a';
  s2.emit('send-message', { conversationId, type: 'audio', media, clientId: 'a1' });
  const sent = await s2.heard('message-sent', ({ clientId }) => clientId === 'a1');
  const shown = [
    sent,
    await s2u.heard('message-sent', called(sent._id)),
    await s1.heard('message', called(sent._id)),
    (await u1.history(conversationId))[0],
  ];
  for (const message of shown) {
    assertBothSpellings(message);
    assert.deepEqual(
      [message._id, message.fileUrl, message.fileType, message.type, message.text],
      [sent._id, media, 'audio', 'audio', ''],
    );
  }
});

story('both histories list the same messages in the same order', async (stage) => {
  const { u1, u2, s1, s2, desktop, conversationId } = await pair(stage);
  for (const index of [1, 2, 3]) {
    const text = `phone ${index}`;
    const body = { from: u1.id, text, conversationId };
    expectStatus(await u1.http.post('/api/messages', body), 200);
    s2.emit('send-message', { conversationId, content: `desk ${index}` });
    await s1.heard('message', (message) => message.text === `desk ${index}`);
  }
  const bare = await u1.history(conversationId);
  const said = ['phone 1', 'desk 1', 'phone 2', 'desk 2', 'phone 3', 'desk 3'];
  assert.deepEqual(bare.map(({ text }) => text), said);

  const byPath = `/api/messages/conversation/${conversationId}`;
  const byQuery = `/api/messages?conversationId=${conversationId}`;
  for (const path of [byPath, byQuery]) {
    const { success, messages, pagination } = expectStatus(await desktop.get(path), 200);
    assert.equal(success, true);
    assert.deepEqual(messages.map(({ _id }) => _id), bare.map(({ _id }) => _id), path);
    assert.deepEqual(pagination, { totalPages: 1, currentPage: 1, total: 6, limit: 50 });
    for (const message of messages) assertBothSpellings(message);
  }
  for (const message of bare) assertBothSpellings(message);
  assert.deepEqual(new Set(bare.map(({ from }) => from)), new Set([u1.id, u2.id]));

  const page = expectStatus(await desktop.get(`${byPath}?page=2&limit=4`), 200);
  assert.deepEqual(page.messages.map(({ text }) => text), said.slice(0, 2));
  assert.deepEqual(page.pagination, { totalPages: 2, currentPage: 2, total: 6, limit: 4 });
  const newest = await u1.http.get(`/api/messages?conversation=${conversationId}&limit=2`);
  assert.deepEqual(expectStatus(newest, 200).map(({ text }) => text), said.slice(4));
});
