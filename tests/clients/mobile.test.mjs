// Whole flows of the shipped mobile client. Its sockets declare nothing and know one transport.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  ID,
  INSTANT,
  User,
  assertBothSpellings,
  expectRefusal,
  expectStatus,
  logins,
  randomId,
  randomPhone,
  story,
  within,
} from './harness.mjs';

const elsewhere = (user) => new Http(GATEWAY_B, user.token);

function textOrNull(value) {
  return value === null || typeof value === 'string';
}

async function logInAtTwoGateways(phone) {
  const sent = expectStatus(await new Http(GATEWAY_A).post('/api/auth/send-otp-login', { phone }), 200);
  assert.ok(sent.sessionId && typeof sent.sessionId === 'string');
  const given = { otp: sent.otp, sessionId: sent.sessionId };
  const verified = expectStatus(
    await new Http(GATEWAY_B).post('/api/auth/verify-otp-login', given),
    200,
  );
  assert.ok(verified.token && typeof verified.token === 'string');
  assert.match(verified.user.id, ID);
  assert.equal(verified.user.phone, phone);
  assert.equal(typeof verified.user.name, 'string');
  assert.ok(textOrNull(verified.user.avatarUrl));
  return new User(verified.user.id, phone, verified.token);
}

// Returns the packets that the first connection began with.
async function coldConnect(stage, user) {
  const listener = stage.open('S1', GATEWAY_A, user);
  const packets = [];
  const { engine } = listener.socket.io;
  const opened = new Promise((resolve) => engine.once('handshake', resolve));
  engine.on('packet', ({ type, data }) => type === 'message' && packets.push(data));
  await listener.connected();
  const parameters = await within(opened, 5_000, 'no handshake');
  assert.deepEqual(parameters.upgrades, []);
  for (const name of ['pingInterval', 'pingTimeout', 'maxPayload']) {
    assert.ok(Number.isInteger(parameters[name]), name);
  }
  assert.equal(engine.transport.name, 'websocket');
  const [first] = packets;
  assert.ok(first.startsWith('0{'), `the first packet was 4${first}`);
  assert.deepEqual(Object.keys(JSON.parse(first.slice(1))), ['sid']);
  return listener;
}

story('F1: a login and a cold start end with an empty chat list', async (stage) => {
  const user = await logInAtTwoGateways(randomPhone());
  // Any other answer to this call wipes the stored session.
  const burst = Array.from({ length: 50 }, (_, index) =>
    (index % 2 === 0 ? user.http : elsewhere(user)).get('/api/auth/me'),
  );
  for (const received of await Promise.all(burst)) {
    assert.equal(expectStatus(received, 200).user.id, user.id);
  }
  await coldConnect(stage, user);
  const list = `/api/conversations?me=${user.id}&status=active`;
  assert.deepEqual(expectStatus(await user.http.get(list), 200), []);
  const requests = `/api/conversations/chat-requests?me=${user.id}&status=pending`;
  const asked = expectStatus(await user.http.get(requests), 200);
  assert.deepEqual(asked.conversations, []);
  const book = Array.from({ length: 1000 }, (_, index) => ({
    phone: `+1999${String(index).padStart(9, '0')}`,
    name: `contact ${index}`,
  }));
  for (const contacts of [[], book]) {
    const received = await elsewhere(user).post('/api/conversations/contacts/sync', { contacts });
    assert.deepEqual(expectStatus(received, 200).matches, []);
  }
});

async function addContact(u1, u2) {
  const path = '/api/conversations/contacts/start-chat';
  const started = await u1.http.post(path, { from: u1.id, toPhone: u2.phone });
  assert.equal(expectStatus(started, 200).success, true);
  const unknown = await u1.http.post(path, { from: u1.id, toPhone: randomPhone() });
  expectRefusal(unknown, 404, 'user_not_found');
}

async function lookAtContact(u1, u2) {
  const nobody = randomId();
  const byIds = await elsewhere(u1).get(`/api/users/by-ids?ids=${u1.id},${u2.id}`);
  const users = expectStatus(byIds, 200);
  const { name, phone, avatarUrl, lastSeen } = users[u2.id];
  assert.equal(typeof name, 'string');
  assert.equal(phone, u2.phone);
  assert.ok(textOrNull(avatarUrl));
  assert.match(lastSeen, INSTANT);
  assert.deepEqual(users.users[u2.id], users[u2.id]);

  const presence = expectStatus(await u1.http.get(`/api/users/presence?ids=${u2.id}`), 200);
  assert.equal(typeof presence[u2.id], 'boolean');
  assert.ok(!('online' in presence), 'a list of that name would be read in place of the ids');
  const path = `/api/users/presence?ids=${u2.id},${nobody}&verbose=true`;
  const verbose = expectStatus(await elsewhere(u1).get(path), 200);
  for (const id of [u2.id, nobody]) {
    // The contact list asks again and again while this is missing.
    assert.match(verbose[id].at, INSTANT);
    assert.match(verbose.presence[id].at, INSTANT);
  }
}

story('F4: a contact is added, looked at, and written to by user id', async (stage) => {
  const [u1, u2] = await logins(2);
  const [s1, s1Other, s2] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S1 other', GATEWAY_B, u1),
    stage.connect('S2', GATEWAY_B, u2),
  ]);
  await addContact(u1, u2);
  await lookAtContact(u1, u2);
  const byUsers = `/api/messages?userA=${u1.id}&userB=${u2.id}`;
  assert.deepEqual(expectStatus(await u1.http.get(byUsers), 200), []);

  const body = { from: u1.id, text: 'Grüße 👋', toId: u2.id };
  const sent = expectStatus(await u1.http.post('/api/messages', body), 200);
  assert.match(sent.data.conversationId, ID);
  const { _id, from, to, text, createdAt, conversationId } = sent.message;
  assert.deepEqual([from, to, text], [u1.id, u2.id, body.text]);
  assert.match(createdAt, INSTANT);
  const mine = (message) => message._id === _id;
  for (const listener of [s2, s1Other, s1]) {
    const heard = await listener.heard('message', mine);
    assertBothSpellings(heard);
    assert.deepEqual(
      [heard.from, heard.to, heard.conversationId, heard.text],
      [u1.id, u2.id, sent.data.conversationId, body.text],
    );
    await listener.silence();
    assert.equal(listener.count('message'), 1, listener.label);
  }
  for (const path of [
    `/api/messages?conversation=${conversationId}`,
    `/messages?conversation=${conversationId}`,
    byUsers,
  ]) {
    for (const http of [u1.http, elsewhere(u2)]) {
      const history = expectStatus(await http.get(path), 200);
      assert.equal(history.length, 1, path);
      const [item] = history;
      assert.deepEqual(
        [item._id, item.from, item.to, item.text, item.createdAt, item.conversationId],
        [_id, from, to, text, createdAt, conversationId],
      );
    }
  }
});

story('F15: a client whose connection breaks comes back and reads what it missed', async (stage) => {
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  const reconnecting = { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 100 };
  const s1 = await stage.connect('S1', GATEWAY_A, u1, reconnecting);
  await s1.heard('presence:initial');
  const { io: manager } = s1.socket;
  const packets = [];
  manager.engine.on('packet', ({ type, data }) => type === 'message' && packets.push(data));

  // The network is away until all is said; without a word from the server, the client tries again by itself.
  const gone = new Promise((resolve) => s1.socket.once('disconnect', resolve));
  const failed = new Promise((resolve) => manager.once('reconnect_error', resolve));
  const { uri } = manager;
  manager.uri = 'http://127.0.0.1:9';
  manager.engine.transport.ws.terminate();
  assert.equal(await within(gone, 5_000, 'S1 is still connected'), 'transport close');
  await within(failed, 5_000, 'S1 did not try to come back');
  const missed = [];
  for (const text of ['one', 'two', 'three']) {
    const body = { from: u2.id, text, conversationId };
    missed.push(expectStatus(await elsewhere(u2).post('/api/messages', body), 200).message._id);
  }
  const back = new Promise((resolve) => s1.socket.once('connect', resolve));
  manager.uri = uri;
  await within(back, 5_000, 'S1 did not come back');
  assert.ok(packets.every((packet) => !packet.startsWith('1')), 'no goodbye to the namespace');

  const [, again] = await s1.heardTimes(2, 'presence:initial');
  assert.deepEqual(Object.keys(again.users), [u2.id]);
  for (const [http, path] of [
    [u1.http, `/api/messages?conversation=${conversationId}&limit=50`],
    [elsewhere(u1), `/api/messages?conversation=${conversationId}&limit=50`],
  ]) {
    const history = expectStatus(await http.get(path), 200);
    assert.ok(Array.isArray(history), path);
    assert.deepEqual(history.map(({ _id }) => _id), missed);
    for (const item of history) assertBothSpellings(item);
  }
  assert.equal(s1.count('message'), 0, 'what was missed is read, not heard');
  const body = { from: u2.id, text: 'four', conversationId };
  expectStatus(await elsewhere(u2).post('/api/messages', body), 200);
  assert.equal((await s1.heard('message')).text, 'four');
});

story('F12: a new picture and a new name reach the contacts', async (stage) => {
  const [u1, u2] = await logins(2);
  await u1.openConversation(u2);
  const s2 = await stage.connect('S2', GATEWAY_B, u2);
  const patch = async (body) => {
    const received = await u1.http.send('PATCH', '/api/users/me', JSON.stringify(body));
    return expectStatus(received, 200).user;
  };
  const avatarUrl = 'http://files.example.com/face.png';
  for (const [body, expected] of [
    [{ avatarUrl }, { avatarUrl, avatar: avatarUrl }],
    [{ avatarUrl: null }, { avatarUrl: null, avatar: null }],
    [{ name: 'Ada', phone: u1.phone }, { name: 'Ada', phone: u1.phone }],
  ]) {
    const heardBefore = s2.count('user_profile_updated');
    const user = await patch(body);
    assert.deepEqual([user.id, user.phone], [u1.id, u1.phone]);
    const heard = await s2.heardTimes(heardBefore + 1, 'user_profile_updated');
    const event = heard[heardBefore];
    assert.equal(event.userId, u1.id);
    assert.match(event.user.lastSeen, INSTANT);
    assert.equal(event.user.phone, u1.phone);
    for (const [key, value] of Object.entries(expected)) {
      assert.equal(user[key], value, key);
      assert.equal(event.user[key], value, key);
    }
  }
  const seen = expectStatus(await elsewhere(u2).get(`/api/users/by-ids?ids=${u1.id}`), 200);
  assert.deepEqual([seen[u1.id].name, seen[u1.id].avatarUrl], ['Ada', null]);
  await s2.silence();
  assert.equal(s2.count('user_profile_updated'), 3);
});
