// A mobile user opens a chat from the contacts, where no conversation exists yet, and writes. The
// sockets declare nothing, as the shipped mobile client does, and sit on different gateways.

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
  randomId,
  story,
} from './harness.mjs';

story('the peer is found by id under every path and spelling', async () => {
  const [u1, u2] = await logins(2);
  const nobody = randomId();
  const path = `/api/users/by-ids?ids=${u1.id},${u2.id},${nobody}`;
  const before = expectStatus(await u1.http.get(path), 200);
  assert.equal(before[u2.id].phone, null, 'nobody tells a stranger');
  const wanted = { from: u1.id, toPhone: u2.phone };
  const started = await u1.http.post('/api/conversations/contacts/start-chat', wanted);
  assert.equal(expectStatus(started, 200).success, true);
  const body = expectStatus(await u1.http.get(path), 200);
  assert.equal(body.success, true);
  for (const user of [u1, u2]) {
    const profile = body[user.id];
    assert.equal(typeof profile.name, 'string');
    assert.equal(profile.phone, user.phone);
    assert.ok('avatarUrl' in profile);
    assert.ok(profile.lastSeen === null || INSTANT.test(profile.lastSeen));
    assert.deepEqual(body.users[user.id], profile);
  }
  assert.ok(!(nobody in body.users));

  const bare = expectStatus(await u1.http.get(`/users/by-ids?ids=${u2.id}`), 200);
  assert.deepEqual(Object.keys(bare), [u2.id]);
  assert.equal(bare[u2.id].phone, u2.phone);
});

story('the first message by user id opens a conversation and reaches all', async (stage) => {
  const [u1, u2] = await logins(2);
  const [s1, s1Other, s2] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S1 other', GATEWAY_B, u1),
    stage.connect('S2', GATEWAY_B, u2),
  ]);
  const byUsers = `/api/messages?userA=${u1.id}&userB=${u2.id}`;
  assert.deepEqual(expectStatus(await u1.http.get(byUsers), 200), []);

  const text = 'Grüße 👋';
  const received = await u1.http.post('/api/messages', { from: u1.id, text, toId: u2.id });
  const sent = expectStatus(received, 200);
  assert.equal(sent.success, true);
  assert.equal(sent.ok, true);
  assert.deepEqual(sent.message, sent.data);
  assert.match(sent.data.conversationId, ID);
  assert.equal(sent.conversationId, sent.data.conversationId);
  const { _id, conversationId, createdAt } = sent.message;
  assertBothSpellings(sent.message);
  const expected = { _id, conversationId, createdAt, from: u1.id, to: u2.id, text, type: 'text' };
  assertCarries(sent.message, expected);

  const mine = (message) => message._id === _id;
  for (const listener of [s1, s1Other, s2]) {
    const heard = await listener.heard('message', mine);
    assertBothSpellings(heard);
    assertCarries(heard, expected);
    assert.equal(heard.lastMessageAt, createdAt);
    assert.ok(!('clientId' in heard));
  }
  await s2.heard('receive-message', mine);
  for (const listener of [s1, s1Other]) await listener.heard('message-sent', mine);
  await Promise.all([s1, s1Other, s2].map((listener) => listener.silence()));
  for (const listener of [s1, s1Other]) {
    assert.deepEqual(namesHeard(listener), ['message', 'message-sent'], listener.label);
  }
  assert.deepEqual(namesHeard(s2), ['message', 'receive-message']);

  const bare = await u1.history(conversationId);
  assert.equal(bare.length, 1);
  assertBothSpellings(bare[0]);
  assertCarries(bare[0], expected);
  const elsewhere = new Http(GATEWAY_B, u2.token);
  for (const path of [`/messages?conversation=${conversationId}`, byUsers]) {
    const items = expectStatus(await elsewhere.get(path), 200);
    assert.equal(items.length, 1, path);
    assertCarries(items[0], expected);
  }
});

story('toPhone takes a phone or a user id and finds the same conversation', async () => {
  const [u1, u2] = await logins(2);
  const conversations = [];
  for (const toPhone of [u2.phone, u2.id]) {
    const body = { from: u1.id, text: 'hello', toPhone };
    const sent = expectStatus(await u1.http.post('/api/messages', body), 200);
    assert.equal(sent.message.to, u2.id);
    conversations.push(sent.data.conversationId);
  }
  assert.equal(conversations[0], conversations[1]);
});

story('two first messages at once end in one conversation', async () => {
  const [u1, u2] = await logins(2);
  const bothWays = [[u1, u2], [u2, u1], [u1, u2], [u2, u1]];
  const sent = await Promise.all(
    bothWays.map(([from, to], index) => {
      const app = new Http(index < 2 ? GATEWAY_A : GATEWAY_B, from.token);
      return app.post('/api/messages', { from: from.id, text: `${index}`, toId: to.id });
    }),
  );
  const ids = new Set(sent.map((received) => expectStatus(received, 200).data.conversationId));
  assert.equal(ids.size, 1);
  assert.equal((await u1.history([...ids][0])).length, 4);
});

story('a message that cannot be sent is refused by name', async () => {
  const [u1, u2, stranger] = await logins(3);
  const send = (body) => u1.http.post('/api/messages', body);
  const opened = await send({ from: u1.id, text: 'hello', toId: u2.id });
  const { conversationId } = expectStatus(opened, 200).data;
  expectRefusal(await send({ from: u2.id, text: 'x', toId: u2.id }), 403, 'forbidden');
  expectRefusal(await send({ from: u1.id, text: 'x' }), 400, 'validation_error');
  expectRefusal(await send({ from: u1.id, text: ' ', toId: u2.id }), 400, 'validation_error');
  expectRefusal(await send({ from: u1.id, text: 'x', toId: randomId() }), 404, 'user_not_found');
  expectRefusal(
    await send({ from: u1.id, text: 'x', conversationId: randomId() }),
    404,
    'conversation_not_found',
  );
  expectRefusal(
    await send({ from: u1.id, text: 'x'.repeat(4001), toId: u2.id }),
    413,
    'too_long',
  );
  expectRefusal(
    await send({ from: u1.id, text: 'x', type: 'poem', toId: u2.id }),
    400,
    'validation_error',
  );

  const outside = { from: stranger.id, text: 'x', conversationId };
  expectRefusal(await stranger.http.post('/api/messages', outside), 403, 'forbidden');
  const peek = `/api/messages?conversation=${conversationId}`;
  expectRefusal(await stranger.http.get(peek), 403, 'forbidden');
  const between = `/api/messages?userA=${u1.id}&userB=${u2.id}`;
  expectRefusal(await stranger.http.get(between), 403, 'forbidden');
  assert.equal((await u1.history(conversationId)).length, 1);
});

function assertCarries(message, expected) {
  const actual = Object.fromEntries(Object.keys(expected).map((key) => [key, message[key]]));
  assert.deepEqual(actual, expected);
}

function namesHeard(listener) {
  const names = ['message', 'message-sent', 'receive-message'];
  return listener.log.map(({ name }) => name).filter((name) => names.includes(name)).sort();
}
