// A group across both families: U1 (S1) and U3 (S3) at the desktop, U2 (S2) with the mobile client.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  ID,
  INSTANT,
  assertBothSpellings,
  expectRefusal,
  expectStatus,
  logins,
  quietly,
  story,
} from './harness.mjs';
import { STILL_TO_COME, settled } from './settled.mjs';

const saying = (text) => (message) => message.text === text;
const nothing = (ears, act) => quietly(ears, act, { background: STILL_TO_COME });
const ids = (list) => list.map((item) => item._id ?? item);

async function scene(stage) {
  const [u1, u2, u3] = await logins(3);
  const electron = { clientType: 'electron' };
  const [s1, s2, s3] = await settled(stage, [
    ['S1', GATEWAY_A, u1, electron],
    ['S2', GATEWAY_B, u2],
    ['S3', GATEWAY_B, u3, electron],
  ]);
  const elsewhere = new Map([u1, u2, u3].map((user) => [user, new Http(GATEWAY_B, user.token)]));
  return { u1, u2, u3, s1, s2, s3, elsewhere };
}

async function makeGroup({ u1, u2, u3, elsewhere }) {
  const body = { name: 'Chess', participants: [u2.id, u3.id] };
  const made = expectStatus(await u1.http.post('/api/groups/create', body), 201);
  assert.equal(made.success, true);
  const { group, conversation } = made;
  assert.match(group._id, ID);
  assert.equal(group.name, 'Chess');
  assert.equal(group.admin._id, u1.id);
  assert.deepEqual(ids(group.admins), [u1.id]);
  assert.deepEqual(ids(group.participants), [u1.id, u2.id, u3.id]);
  assert.equal(conversation._id, group.conversationId);
  assert.equal(conversation.isGroup, true);
  const list = await elsewhere.get(u2).get(`/api/conversations?me=${u2.id}`);
  const row = expectStatus(list, 200).find(({ _id }) => _id === group.conversationId);
  assert.deepEqual(row.participants, [u1.id, u2.id, u3.id]);
  return { groupId: group._id, conversationId: group.conversationId };
}

function act(user, name, groupId, other) {
  return user.http.post(`/api/groups/${name}`, { groupId, userId: other.id });
}

async function sendFromDesktop({ u1, u2, u3, s1, s2, s3, elsewhere }, conversationId) {
  s1.emit('send-message', { conversationId, content: 'from the desk', clientId: 'g1' });
  const sent = await s1.heard('message-sent', saying('from the desk'));
  assert.equal(sent.clientId, 'g1');
  const atPhone = await s2.heard('message', saying('from the desk'));
  assert.deepEqual([atPhone.from, atPhone.to], [u1.id, u2.id]);
  const atDesk = await s3.heard('receive-message', saying('from the desk'));
  for (const message of [sent, atPhone, atDesk]) {
    assertBothSpellings(message);
    assert.deepEqual([message._id, message.conversationId], [sent._id, conversationId]);
  }
  await Promise.all([s1, s2, s3].map((listener) => listener.silence()));
  assert.equal(s1.count('message-sent', saying('from the desk')), 1);
  assert.equal(s2.count('message', saying('from the desk')), 1);
  assert.equal(s3.count('receive-message', saying('from the desk')), 1);
  const list = expectStatus(await elsewhere.get(u3).get('/api/conversations'), 200);
  assert.equal(list.conversations.find(({ _id }) => _id === conversationId).unreadCount, 1);
}

// Of arrival and reading the sender alone hears, and what others have unread is their own.
async function tick({ u1, u2, u3, s1, s2, s3, elsewhere }, conversationId) {
  const [{ _id, createdAt }] = await u1.history(conversationId);
  const heardBefore = s2.log.length;
  await nothing([s3], async () => {
    s2.emit('delivered', { messageId: _id });
    const tick = { messageId: _id, conversationId, by: u2.id, at: createdAt };
    assert.deepEqual(await s1.heard('delivered'), tick);
    s2.emit('read_up_to', { conversationId, by: u2.id, at: new Date().toISOString() });
    const receipt = await s1.heard('messages:read-receipt');
    const { readAt } = receipt;
    assert.match(readAt, INSTANT);
    const expected = { conversationId, messageIds: [_id], readBy: u2.id, readAt };
    assert.deepEqual(receipt, expected);
  });
  assert.deepEqual(s2.log.slice(heardBefore).map(({ name }) => name), ['messages-read']);
  for (const name of ['delivered', 'messages:read-receipt']) assert.equal(s1.count(name), 1, name);
  for (const [user, unread] of [[u2, 0], [u3, 1]]) {
    const path = `/api/conversations?me=${user.id}`;
    const list = expectStatus(await elsewhere.get(user).get(path), 200);
    assert.equal(list.find((row) => row._id === conversationId).unreadCount, unread);
  }
}

async function sendFromPhone({ u2, s1, s3 }, conversationId) {
  const body = { from: u2.id, text: 'from the phone', conversationId };
  const { message } = expectStatus(await u2.http.post('/api/messages', body), 200);
  for (const listener of [s1, s3]) {
    const heard = await listener.heard('receive-message', saying('from the phone'));
    assert.deepEqual([heard._id, heard.sender], [message._id, u2.id]);
    assert.equal(listener.count('message'), 0, listener.label);
  }
}

async function rule({ u1, u2, u3, s1, s2, s3, elsewhere }, { groupId, conversationId }) {
  expectRefusal(await act(u2, 'promote-admin', groupId, u3), 403, 'forbidden');
  const promoted = expectStatus(await act(u1, 'promote-admin', groupId, u3), 200);
  assert.deepEqual(ids(promoted.group.admins), [u1.id, u3.id]);
  expectRefusal(await act(u1, 'promote-admin', groupId, u3), 409, 'already_admin');
  expectRefusal(await act(u1, 'remove-participant', groupId, u3), 400, 'validation_error');
  const demoted = expectStatus(await act(u1, 'demote-admin', groupId, u3), 200);
  assert.deepEqual(ids(demoted.group.admins), [u1.id]);

  const setting = async (onlyAdminsCanSendMessages) => {
    const body = JSON.stringify({ settings: { onlyAdminsCanSendMessages } });
    const changed = await elsewhere.get(u1).send('PUT', `/api/groups/${groupId}`, body);
    const { settings } = expectStatus(changed, 200).group;
    assert.equal(settings.onlyAdminsCanSendMessages, onlyAdminsCanSendMessages);
  };
  await setting(true);
  const body = { from: u2.id, text: 'may I?', conversationId };
  expectRefusal(await u2.http.post('/api/messages', body), 403, 'forbidden');
  const announcement = { text: 'an announcement', conversationId };
  expectStatus(await elsewhere.get(u1).post('/api/messages', announcement), 200);
  await s2.heard('message', saying('an announcement'));
  await setting(false);
  expectStatus(await u2.http.post('/api/messages', body), 200);
  for (const name of ['message', 'message-sent']) await s2.heard(name, saying('may I?'));
  for (const listener of [s1, s3]) await listener.heard('receive-message', saying('may I?'));
}

async function remove({ u1, u2, u3, s1, s2, s3, elsewhere }, { groupId, conversationId }) {
  const removed = expectStatus(await act(u1, 'remove-participant', groupId, u2), 200);
  assert.deepEqual(ids(removed.group.participants), [u1.id, u3.id]);
  await nothing([s2], async () => {
    s1.emit('send-message', { conversationId, content: 'among us' });
    const among = await s3.heard('receive-message', saying('among us'));
    const answer = { text: 'indeed', conversationId };
    const { message } = expectStatus(await u3.http.post('/api/messages', answer), 200);
    const path = `/api/messages/${among._id}`;
    const edit = JSON.stringify({ text: 'only among us' });
    expectStatus(await u1.http.send('PATCH', path, edit), 200);
    await s3.heard('message-edited', saying('only among us'));
    expectStatus(await elsewhere.get(u1).send('DELETE', path), 200);
    await s3.heard('message-deleted', ({ _id }) => _id === among._id);
    s1.emit('delivered', { messageId: message._id });
    await s3.heard('delivered', ({ by }) => by === u1.id);
    expectStatus(await u1.http.send('PATCH', `/api/messages/${message._id}/read`), 200);
    await s3.heard('messages:read-receipt', ({ readBy }) => readBy === u1.id);
    for (const name of ['typing', 'typing-stopped']) {
      for (const listener of [s1, s3]) listener.emit(name, { conversationId });
    }
    s3.emit('mark-read', { conversationId });
    await s3.heard('messages-read');
  });

  const list = expectStatus(await elsewhere.get(u2).get(`/api/conversations?me=${u2.id}`), 200);
  assert.ok(!ids(list).includes(conversationId), 'the list is without it');
  for (const path of [
    `/api/messages?conversation=${conversationId}`,
    `/messages?conversation=${conversationId}`,
    `/api/messages/conversation/${conversationId}`,
    `/api/conversations/${conversationId}`,
  ]) {
    expectRefusal(await u2.http.get(path), 403, 'forbidden');
  }
  const body = { from: u2.id, text: 'let me in', conversationId };
  expectRefusal(await u2.http.post('/api/messages', body), 403, 'forbidden');
  const history = await u3.history(conversationId);
  const messageId = history.at(-1)._id;
  await nothing([s1, s3], async () => {
    s2.emit('delivered', { messageId });
    s2.emit('read_up_to', { conversationId, by: u2.id, at: new Date().toISOString() });
    s2.emit('typing', { to: u1.id, conversationId, typing: true });
  });
  const row = expectStatus(await u1.http.get(`/api/conversations/${conversationId}`), 200);
  for (const cursors of [row.conversation.deliveredUpTo, row.conversation.readUpTo]) {
    assert.ok(!(u2.id in cursors), 'nothing is known of who is no member');
  }
}

story('X2: a group across both families, and nothing for who was removed', async (stage) => {
  const cast = await scene(stage);
  const { u1, u2, s1, s2 } = cast;
  const { groupId, conversationId } = await makeGroup(cast);
  await sendFromDesktop(cast, conversationId);
  await tick(cast, conversationId);
  await sendFromPhone(cast, conversationId);
  await rule(cast, { groupId, conversationId });
  await remove(cast, { groupId, conversationId });
  const added = expectStatus(await act(u1, 'add-participant', groupId, u2), 200);
  assert.ok(ids(added.group.participants).includes(u2.id));
  s1.emit('send-message', { conversationId, content: 'welcome back' });
  const heard = await s2.heard('message', saying('welcome back'));
  assert.deepEqual([heard.from, heard.to], [u1.id, u2.id]);
});
