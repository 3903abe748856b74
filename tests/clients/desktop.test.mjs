// How the desktop client logs in and connects: by code or by password, over both transports, with its
// token in either place.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  ID,
  INSTANT,
  UUID,
  claimsOf,
  expectRefusal,
  expectStatus,
  randomId,
  randomPhone,
  signToken,
  story,
} from './harness.mjs';

const PASSWORD = 'correct horse';

const anyone = new Http(GATEWAY_A);
const desk = new Http(GATEWAY_B, null, { 'x-device-name': 'desk' });

function assertUser(user, phone) {
  assert.match(user.id, ID);
  assert.deepEqual([user.uid, user.userId, user.phone], [user.id, user.id, phone]);
  assert.equal(typeof user.name, 'string');
  for (const key of ['avatar', 'avatarUrl', 'bio']) assert.equal(user[key], null, key);
  assert.equal(typeof user.isOnline, 'boolean');
  assert.match(user.lastSeen, INSTANT);
}

async function register(name) {
  const phone = randomPhone();
  const sent = expectStatus(await anyone.post('/api/auth/send-otp', { phone }), 200);
  const body = { name, phone, otp: sent.otp, sessionId: sent.sessionId, password: PASSWORD };
  const registered = expectStatus(await desk.post('/api/auth/verify-otp-register', body), 201);
  return { phone, name, id: registered.user.id };
}

async function logInByCode(phone) {
  const sent = expectStatus(await anyone.post('/api/auth/send-otp-login', { phone }), 200);
  assert.match(sent.sessionId, /^[0-9a-f]{32}$/);
  const given = { otp: sent.otp, sessionId: sent.sessionId };
  const verified = expectStatus(await desk.post('/api/auth/verify-otp-login', given), 200);
  assert.equal(verified.success, true);
  assert.match(verified.sessionId, UUID);
  assertUser(verified.user, phone);
  return verified;
}

async function logInByPassword({ phone, name, id }) {
  for (const identifier of [phone, name]) {
    const body = { name: identifier, password: PASSWORD };
    const logged = expectStatus(await desk.post('/api/auth/login', body), 200);
    assert.equal(logged.success, true);
    assert.equal(logged.user.id, id);
    assertUser(logged.user, phone);
    const me = await new Http(GATEWAY_A, logged.token).get('/api/auth/me');
    assert.equal(expectStatus(me, 200).user.id, id);
  }
  const wrong = { name: phone, password: 'wrong horse' };
  expectRefusal(await desk.post('/api/auth/login', wrong), 401, 'invalid_credentials');
}

const bearer = (token) => ({ extraHeaders: { Authorization: `Bearer ${token}` } });
const transports = {
  websocket: { transports: ['websocket'] },
  upgrading: { transports: ['polling', 'websocket'] },
};
const declarations = {
  auth: { clientType: 'electron' },
  query: { query: { clientType: 'electron' } },
  header: { extraHeaders: { 'Client-Type': 'electron' } },
};

story('D1: a desktop logs in by code or password and connects by every way', async (stage) => {
  const user = await register(`Ada ${randomId()}`);
  const { token } = await logInByCode(user.phone);
  await logInByPassword(user);

  const declared = { clientType: 'electron' };
  const ways = [];
  for (const [name, transport] of Object.entries(transports)) {
    const inHeader = { auth: declared, ...bearer(token), ...transport };
    ways.push([`${name}, token in auth`, { token }, { ...declared, ...transport }]);
    ways.push([`${name}, token in the header`, null, inHeader]);
    for (const [place, declaration] of Object.entries(declarations)) {
      ways.push([`${name}, declared in ${place}`, { token }, { ...declaration, ...transport }]);
    }
  }
  const sockets = await Promise.all(
    ways.map(([label, who, options], index) =>
      stage.connect(label, index % 2 === 0 ? GATEWAY_A : GATEWAY_B, who, options),
    ),
  );
  for (const listener of sockets) {
    const connected = await listener.heard('connected');
    assert.deepEqual(Object.keys(connected).sort(), ['socketId', 'timestamp', 'userId']);
    assert.deepEqual([connected.userId, connected.socketId], [user.id, listener.socket.id]);
    assert.match(connected.timestamp, INSTANT);
    assert.equal(listener.log[0].name, 'connected', listener.label);
  }
  await Promise.all(sockets.map((listener) => listener.silence()));
  for (const listener of sockets) {
    assert.equal(listener.count('connected'), 1, listener.label);
    for (const name of ['presence', 'presence:initial']) {
      assert.equal(listener.count(name), 0, `${listener.label} heard ${name}`);
    }
  }
  await Promise.all([refuseTokens(stage, token), refuseTokensOfNobody(stage, token)]);
});

async function refuseTokens(stage, token) {
  const expired = signToken({ ...claimsOf(token), iat: 1_000_000, exp: 1_000_001 });
  const refusals = [
    ['token only in the query', { query: { token } }],
    ['Bearer inside auth', { auth: { token: `Bearer ${token}` } }],
    ['expired', { auth: { token: expired } }],
    ['no token', {}],
  ];
  for (const [label, options] of refusals) {
    for (const transport of Object.values(transports)) {
      const error = await stage.refused(label, GATEWAY_B, null, { ...options, ...transport });
      assert.equal(error, 'unauthorized', label);
    }
  }
}

async function refuseTokensOfNobody(stage, token) {
  const nobody = randomId();
  const ids = { uid: nobody, id: nobody, userId: nobody, _id: nobody };
  const { sessionId: _, ...claims } = { ...claimsOf(token), ...ids };
  const auth = { token: signToken(claims) };
  assert.equal(await stage.refused('of nobody', GATEWAY_A, null, { auth }), 'unauthorized');
}
