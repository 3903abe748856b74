// Edited and deleted messages, as the shipped mobile client and a declared desktop client see them.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  INSTANT,
  Http,
  expectRefusal,
  expectStatus,
  logins,
  quietly,
  randomId,
  story,
} from './harness.mjs';

async function scene(stage) {
  const [u1, u2] = await logins(2);
  const [s1, s2, desktop] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S2', GATEWAY_B, u2),
    stage.connect('desktop of U2', GATEWAY_A, u2, { clientType: 'electron' }),
  ]);
  const body = { from: u1.id, text: 'first', toId: u2.id };
  const sent = expectStatus(await u1.http.post('/api/messages', body), 200).message;
  for (const listener of [s1, s2]) await listener.heard('message');
  await desktop.heard('receive-message');
  return { u1, u2, s1, s2, desktop, sent, of: (message) => message._id === sent._id };
}

function ask(user, method, path, body) {
  return fetch(`${GATEWAY_B}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${user.token}`,
      'content-type': 'application/json; charset=utf-8',
    },
    body,
  });
}

story('F8: an edit by the sender is seen by everybody', async (stage) => {
  const { u1, u2, s1, s2, desktop, sent, of } = await scene(stage);
  const path = `/api/messages/${sent._id}`;
  const answer = await ask(u1, 'PATCH', path, JSON.stringify({ text: 'second' }));
  assert.equal(answer.status, 200);
  const { message } = await answer.json();
  assert.match(message.editedAt, INSTANT);
  const shown = [
    await s1.heard('message_edited', of),
    await s2.heard('message_edited', of),
    await s2.heard('message-edited', of),
    await desktop.heard('message-edited', of),
  ];
  for (const heard of shown) {
    assert.deepEqual(heard, message);
    assert.equal(heard.conversationId, sent.conversationId);
    assert.equal(heard.text, 'second');
    assert.equal(heard.content, 'second');
    assert.equal(heard.edited, true);
  }
  assert.equal(desktop.count('message_edited'), 0);
  const [item] = await u2.history(sent.conversationId);
  assert.deepEqual([item.text, item.edited], ['second', true]);
  const refused = await ask(u2, 'PATCH', path, JSON.stringify({ text: 'third' }));
  assert.equal(refused.status, 403);
  assert.equal((await refused.json()).error, 'forbidden');
});

story('F9: a DELETE without a body deletes for everybody, if it is the sender', async (stage) => {
  const { u1, u2, s1, s2, desktop, sent, of } = await scene(stage);
  const path = `/api/messages/${sent._id}`;
  const before = { from: u2.id, text: 'before', toId: u1.id };
  const last = { from: u1.id, text: 'last', toId: u2.id };
  const { message } = expectStatus(await u2.http.post('/api/messages', before), 200);
  const { conversationId } = message;
  const newest = expectStatus(await u1.http.post('/api/messages', last), 200).message;
  await s1.heard('message', ({ _id }) => _id === newest._id);
  await s2.heard('message', ({ _id }) => _id === newest._id);
  await desktop.heard('receive-message', ({ _id }) => _id === newest._id);
  await quietly([s1, s2, desktop], async () => {
    const refused = await ask(u2, 'DELETE', path);
    assert.equal(refused.status, 403);
  });
  // As the mobile client does: a body of that type, whose length is told to be 0.
  const mobile = new Http(GATEWAY_B, u1.token);
  const answer = await mobile.sendInPieces('DELETE', path, Buffer.alloc(0));
  assert.equal(expectStatus(answer, 200).message._id, sent._id);
  for (const listener of [s1, s2]) {
    const heard = await listener.heard('message_deleted', of);
    assert.deepEqual(
      [heard.conversationId, heard.from, heard.to, heard.deleted],
      [sent.conversationId, u1.id, u2.id, true],
    );
  }
  const heard = await desktop.heard('message-deleted', of);
  assert.deepEqual([heard.sender, heard.isDeleted], [u1.id, true]);
  assert.equal(desktop.count('message_deleted'), 0);
  const left = async () => (await u2.history(conversationId)).map(({ text }) => text);
  assert.deepEqual(await left(), ['before', 'last']);

  // The preview is that of the newest message which is left.
  expectStatus(await u1.http.send('DELETE', `/api/messages/${newest._id}`), 200);
  assert.deepEqual(await left(), ['before']);
  for (const user of [u1, u2]) {
    const [row] = expectStatus(await user.http.get(`/api/conversations?me=${user.id}`), 200);
    assert.deepEqual([row.lastPreview, row.lastFrom], ['before', u2.id]);
    assert.equal(row.lastMessageAt, message.createdAt);
  }
  expectStatus(await u2.http.send('DELETE', `/api/messages/${message._id}`), 200);
  const [row] = expectStatus(await u2.http.get(`/api/conversations?me=${u2.id}`), 200);
  assert.equal(row.lastPreview, '');
});

story('what does not exist is neither edited nor deleted', async () => {
  const [u1] = await logins(1);
  const http = new Http(GATEWAY_A, u1.token);
  const path = `/api/messages/${randomId()}/read`;
  const request = (method, path) => ask(u1, method, path, method === 'PATCH' ? '{"text":"x"}' : '');
  for (const method of ['PATCH', 'DELETE']) {
    const unknown = await request(method, `/api/messages/${randomId()}`);
    assert.deepEqual([unknown.status, (await unknown.json()).error], [404, 'not_found']);
    const malformed = await request(method, '/api/messages/m1');
    assert.deepEqual([malformed.status, (await malformed.json()).error], [400, 'invalid_id']);
  }
  const read = await request('PATCH', path);
  assert.equal(read.status, 404);
  expectRefusal(await http.get('/api/messages'), 400, 'validation_error');
});
