// Registration with a password, logins with it by phone and by name, and what the end of such a
// session does to the sockets of both client families.

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
  login,
  randomId,
  randomPhone,
  story,
  within,
} from './harness.mjs';

const PASSWORD = 'correct horse';
const anyone = new Http(GATEWAY_A);
const anyoneElsewhere = new Http(GATEWAY_B);

async function register(password, name = `Ada ${randomId()}`) {
  const phone = randomPhone();
  const sent = expectStatus(await anyone.post('/api/auth/send-otp', { phone }), 200, 201);
  const { otp, sessionId } = sent;
  const body = { name, phone, otp, sessionId, password };
  const registered = await anyoneElsewhere.post('/api/auth/verify-otp-register', body);
  return { ...expectStatus(registered, 201), name, phone };
}

function logIn(name, password, path = '/api/auth/login') {
  return anyoneElsewhere.post(path, { name, password });
}

function asSocketUser({ token, user }) {
  return { token, id: user.id };
}

story('a registered password logs in by phone and by name', async (stage) => {
  const registered = await register(PASSWORD);
  const { phone, name } = registered;
  expectRefusal(await anyone.post('/api/auth/send-otp', { phone }), 409, 'phone_taken');
  const spelled = `${phone.slice(1, 4)} (${phone.slice(4, 7)}) ${phone.slice(7)}`;
  for (const identifier of [phone, spelled, Number(phone.slice(1)), name]) {
    for (const path of ['/api/auth/login', '/auth/login']) {
      const logged = expectStatus(await logIn(identifier, PASSWORD, path), 200);
      assert.equal(logged.success, true);
      assert.ok(logged.token && typeof logged.token === 'string');
      assert.equal(logged.user.id, registered.user.id);
      for (const key of ['uid', 'userId']) assert.equal(logged.user[key], logged.user.id);
      assert.match(logged.user.id, ID);
      assert.equal(logged.user.name, name);
      assert.equal(logged.user.phone, phone);
      assert.match(logged.user.lastSeen, INSTANT);
    }
  }
  const logged = expectStatus(await logIn(name, PASSWORD), 200);
  // Unlike at the predecessor, this login has a session, too.
  const { sessionId } = claimsOf(logged.token);
  assert.match(sessionId, UUID);
  assert.notEqual(sessionId, registered.sessionId);
  const me = expectStatus(await new Http(GATEWAY_A, logged.token).get('/api/auth/me'), 200);
  assert.equal(me.user.id, registered.user.id);
  const s1 = await stage.connect('S1', GATEWAY_A, asSocketUser(logged));
  assert.equal((await s1.heard('connected')).userId, registered.user.id);
});

story('a wrong password, nobody, and nobody with a password are refused alike', async () => {
  const { phone, name } = await register(PASSWORD);
  const { phone: withoutPassword } = await login();
  const refusals = [];
  const wrong = [
    [phone, 'wrong horse'],
    [name, 'Correct horse'],
    [name.toLowerCase(), PASSWORD],
    [withoutPassword, PASSWORD],
    [randomPhone(), PASSWORD],
    [randomId(), PASSWORD],
  ];
  for (const [identifier, password] of wrong) {
    refusals.push(expectRefusal(await logIn(identifier, password), 401, 'invalid_credentials'));
  }
  for (const refusal of refusals) assert.deepEqual(refusal, refusals[0]);
});

story('a login names what is missing', async () => {
  for (const body of [{}, { name: 'Ada' }, { password: PASSWORD }, { name: '', password: '' }]) {
    expectRefusal(await anyone.post('/api/auth/login', body), 400, 'missing');
  }
  for (const odd of [{ $ne: null }, ['Ada']]) {
    const byName = { name: odd, password: PASSWORD };
    expectRefusal(await anyone.post('/api/auth/login', byName), 400, 'validation_error');
    const byPassword = { name: 'Ada', password: odd };
    expectRefusal(await anyone.post('/api/auth/login', byPassword), 400, 'validation_error');
  }
});

story('a password may be a number, and blanks around it do not count', async () => {
  const number = await register(123456);
  expectStatus(await logIn(number.phone, 123456), 200);
  expectStatus(await logIn(number.phone, '123456'), 200);
  const blank = await register('  with blanks  ');
  expectStatus(await logIn(blank.phone, 'with blanks'), 200);
  expectStatus(await logIn(blank.phone, ' with blanks '), 200);
});

story('a registration needs no password; a short or endless one is refused', async () => {
  for (const password of ['', null, undefined]) {
    const { phone } = await register(password);
    expectRefusal(await logIn(phone, '12345'), 401, 'invalid_credentials');
  }
  const phone = randomPhone();
  const { otp, sessionId } = expectStatus(await anyone.post('/api/auth/send-otp', { phone }), 200);
  const body = { name: 'Ada', phone, otp, sessionId };
  const path = '/api/auth/verify-otp-register';
  for (const password of ['12345', ' 12345 ', 12345, ' ', 'p'.repeat(2000)]) {
    const refused = await anyone.post(path, { ...body, password });
    assert.match(expectRefusal(refused, 400, 'validation_error').message, /password/);
  }
  expectStatus(await anyone.post(path, { ...body, password: PASSWORD }), 201);
});

const end = (listener) =>
  within(
    new Promise((resolve) => listener.socket.once('disconnect', resolve)),
    1_000,
    `${listener.label} was not ended`,
  );

story('a logout ends the sockets of its session everywhere, and of no other', async (stage) => {
  const { phone } = await register(PASSWORD);
  const ending = expectStatus(await logIn(phone, PASSWORD), 200);
  const lasting = expectStatus(await logIn(phone, PASSWORD), 200);
  const user = asSocketUser(ending);
  const coming = { reconnection: true, reconnectionDelay: 50 };
  const opened = [];
  for (const [at, gateway] of Object.entries({ A: GATEWAY_A, B: GATEWAY_B })) {
    for (const clientType of ['electron', 'flutter', 'unified']) {
      for (const transport of ['websocket', 'polling']) {
        const options = { ...coming, clientType, transports: [transport] };
        opened.push(stage.connect(`${clientType} by ${transport} at ${at}`, gateway, user, options));
      }
    }
  }
  const listeners = await Promise.all(opened);
  const other = await stage.connect('other', GATEWAY_B, asSocketUser(lasting));
  const refused = listeners.map(
    ({ socket }) => new Promise((resolve) => socket.once('connect_error', resolve)),
  );
  const ended = listeners.map(end);
  expectStatus(await new Http(GATEWAY_A, ending.token).post('/api/auth/logout', {}), 200);
  for (const reason of await Promise.all(ended)) {
    assert.ok(['transport close', 'transport error'].includes(reason), reason);
  }
  // They come back by themselves and learn that they need to log in.
  const errors = await within(Promise.all(refused), 5_000, 'somebody was not refused');
  for (const error of errors) assert.equal(error.message, 'unauthorized');
  for (const listener of listeners) {
    const told = listener.all('session:revoked');
    assert.equal(told.length, listener.label.startsWith('unified') ? 1 : 0, listener.label);
    for (const { error } of told) assert.equal(error, 'invalid_session');
  }
  assert.ok(other.socket.connected);
  expectRefusal(
    await new Http(GATEWAY_B, ending.token).get('/api/auth/me'),
    401,
    'invalid_session',
  );
  expectStatus(await new Http(GATEWAY_B, lasting.token).get('/api/auth/me'), 200);
});

story('a client whose transport was killed comes back as the one it was', async (stage) => {
  const [u1, u2] = await Promise.all([login(), login()]);
  const conversationId = await u1.openConversation(u2);
  const coming = { reconnection: true, reconnectionDelay: 50 };
  const listeners = await Promise.all(
    ['flutter', 'electron', undefined].map((clientType) =>
      stage.connect(`${clientType}`, GATEWAY_B, u2, { ...coming, clientType }),
    ),
  );
  for (const { socket } of listeners) {
    const again = new Promise((resolve) => socket.once('connect', resolve));
    // The TCP connection breaks: neither side says anything.
    socket.io.engine.transport.ws._socket.destroy();
    await within(again, 5_000, 'did not come back');
  }
  const body = { from: u1.id, text: 'welcome back', conversationId };
  expectStatus(await u1.http.post('/api/messages', body), 200);
  const [flutter, electron, undeclared] = listeners;
  for (const [listener, name] of [
    [flutter, 'message'],
    [electron, 'receive-message'],
    [undeclared, 'message'],
    [undeclared, 'receive-message'],
  ]) {
    const heard = await listener.heard(name);
    assert.equal(heard.text, 'welcome back', listener.label);
    assert.equal(listener.count(name), 1, listener.label);
  }
  assert.equal(flutter.count('receive-message') + electron.count('message'), 0);
  assert.equal((await u2.history(conversationId)).length, 1);
});
