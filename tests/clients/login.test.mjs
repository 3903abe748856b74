// A user logs in with a code sent to the phone, registers with one, and comes back with a token.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  ID,
  INSTANT,
  UUID,
  expectRefusal,
  expectStatus,
  login,
  logins,
  randomPhone,
  story,
} from './harness.mjs';

const anyone = new Http(GATEWAY_A);
const anyoneElsewhere = new Http(GATEWAY_B);

async function sendCode(purpose, phone) {
  const sent = expectStatus(await anyone.post(`/api/auth/${purpose}`, { phone }), 200, 201);
  assert.match(sent.sessionId, /^[0-9a-f]{32}$/);
  assert.match(sent.otp, /^\d{6}$/);
  return sent;
}

const sendLoginCode = (phone) => sendCode('send-otp-login', phone);
const sendRegistrationCode = (phone) => sendCode('send-otp', phone);

// The other gateway verifies, so that nothing about a code can live in one process.
function verifyLogin(code, session) {
  const body = { otp: code.otp, sessionId: session.sessionId };
  return anyoneElsewhere.post('/api/auth/verify-otp-login', body);
}

function register(phone, code, session = code) {
  const body = { name: 'Ada', phone, otp: code.otp, sessionId: session.sessionId };
  return anyoneElsewhere.post('/api/auth/verify-otp-register', body);
}

function wrongCode(...codes) {
  const taken = codes.map(({ otp }) => otp);
  return { otp: ['111111', '222222', '333333', '444444'].find((otp) => !taken.includes(otp)) };
}

function assertAuthUser(user, phone) {
  assert.match(user.id, ID);
  assert.equal(user.uid, user.id);
  assert.equal(user.userId, user.id);
  assert.equal(typeof user.name, 'string');
  assert.equal(user.phone, phone);
  for (const key of ['avatar', 'avatarUrl', 'bio']) {
    assert.ok(user[key] === null || typeof user[key] === 'string', `${key} is ${user[key]}`);
  }
  assert.equal(typeof user.isOnline, 'boolean');
  assert.match(user.lastSeen, INSTANT);
}

story('a cold start ends with an empty chat list', async () => {
  const phone = randomPhone();
  const code = await sendLoginCode(phone);
  const labelled = new Http(GATEWAY_A, null, { 'x-device-name': 'desk' });
  const body = { otp: code.otp, sessionId: code.sessionId };
  const verified = expectStatus(await labelled.post('/api/auth/verify-otp-login', body), 200);
  assert.equal(verified.success, true);
  assert.match(verified.sessionId, UUID);
  assert.ok(verified.token && typeof verified.token === 'string');
  assertAuthUser(verified.user, phone);

  const app = new Http(GATEWAY_B, verified.token);
  const me = expectStatus(await app.get('/api/auth/me'), 200);
  assert.equal(me.success, true);
  assert.equal(me.user._id, verified.user.id);
  assertAuthUser(me.user, phone);
  assert.equal(me.user.id, verified.user.id);

  const path = `/api/conversations?me=${verified.user.id}&status=active`;
  assert.deepEqual(expectStatus(await app.get(path), 200), []);
});

// Any other answer to this call wipes the mobile client's stored session.
story('fifty requests for the own user in a burst are all answered', async () => {
  const user = await login();
  const burst = Array.from({ length: 50 }, (_, index) => {
    const gateway = index % 2 === 0 ? GATEWAY_A : GATEWAY_B;
    return new Http(gateway, user.token).get('/api/auth/me');
  });
  for (const received of await Promise.all(burst)) {
    assert.equal(expectStatus(received, 200).user.id, user.id);
  }
});

story('a second login with the same phone is the same user', async () => {
  const first = await login();
  const second = await login(first.phone, GATEWAY_B);
  assert.equal(second.id, first.id);
});

story('the chat list of somebody else is refused', async () => {
  const [user, other] = await logins(2);
  expectRefusal(await user.http.get(`/api/conversations?me=${other.id}`), 403, 'forbidden');
});

story('requests without a valid token are refused by name', async () => {
  const user = await login();
  expectRefusal(await anyone.get('/api/auth/me'), 401, 'unauthorized');
  const forged = new Http(GATEWAY_A, `${user.token.slice(0, -4)}AAAA`);
  expectRefusal(await forged.get('/api/auth/me'), 401, 'invalid_token');
  expectRefusal(await new Http(GATEWAY_A, 'x').get('/api/auth/me'), 401, 'invalid_token');
});

for (const path of ['/api/auth/send-otp-login', '/api/auth/send-otp']) {
  story(`${path} names what is wrong with a phone`, async () => {
    expectRefusal(await anyone.post(path, {}), 400, 'missing');
    expectRefusal(await anyone.post(path, { phone: '12345' }), 400, 'invalid_phone');
  });
}

story('a verification names what is wrong with it', async () => {
  const phone = randomPhone();
  const code = await sendLoginCode(phone);
  expectRefusal(await verifyLogin({}, code), 400, 'missing');
  expectRefusal(await verifyLogin(code, {}), 400, 'missing');
  expectRefusal(await verifyLogin({ otp: '12345' }, code), 400, 'invalid_otp_format');
  expectRefusal(await verifyLogin(code, { sessionId: 'f'.repeat(32) }), 400, 'invalid_otp');
  expectRefusal(await verifyLogin(wrongCode(code), code), 400, 'invalid_otp');
  expectStatus(await verifyLogin(code, code), 200);
});

// The mobile client keeps the first session id after "resend".
for (const [codeIndex, sessionIndex] of [[1, 0], [0, 1], [0, 0]]) {
  const name = `code ${codeIndex + 1} of a resend with session ${sessionIndex + 1} logs in, once`;
  story(name, async () => {
    const phone = randomPhone();
    const sent = [await sendLoginCode(phone), await sendLoginCode(phone)];
    assert.notEqual(sent[0].sessionId, sent[1].sessionId);
    const verified = await verifyLogin(sent[codeIndex], sent[sessionIndex]);
    const { token, user } = expectStatus(verified, 200);
    assert.ok(token);
    assert.equal(user.phone, phone);
    for (const code of sent) {
      for (const session of sent) {
        expectRefusal(await verifyLogin(code, session), 400, 'invalid_otp');
      }
    }
  });
}

story('codes for login and for registration never mix', async () => {
  const phone = randomPhone();
  const forLogin = await sendLoginCode(phone);
  const forRegistration = await sendRegistrationCode(phone);
  expectRefusal(await verifyLogin(forLogin, forRegistration), 400, 'invalid_otp');
  expectRefusal(await register(phone, forRegistration, forLogin), 400, 'invalid_otp');
  expectStatus(await verifyLogin(forLogin, forLogin), 200);
});

story('a code does not work with the session of another phone', async () => {
  const mine = await sendLoginCode(randomPhone());
  const other = await sendLoginCode(randomPhone());
  expectRefusal(await verifyLogin(mine, other), 400, 'invalid_otp');
  expectStatus(await verifyLogin(mine, mine), 200);
  expectStatus(await verifyLogin(other, other), 200);
});

story('wrong codes count together over both sessions', async () => {
  const phone = randomPhone();
  const sent = [await sendLoginCode(phone), await sendLoginCode(phone)];
  const wrong = wrongCode(...sent);
  for (const session of [sent[0], sent[1], sent[0], sent[1], sent[0]]) {
    expectRefusal(await verifyLogin(wrong, session), 400, 'invalid_otp');
  }
  expectRefusal(await verifyLogin(sent[1], sent[1]), 429, 'too_many_requests');
});

story('of two verifications at once one wins', async () => {
  const code = await sendLoginCode(randomPhone());
  const both = await Promise.all([verifyLogin(code, code), verifyLogin(code, code)]);
  const statuses = both.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [200, 400], both.map(({ shown }) => shown).join('\n'));
});

story('F3: a registration makes a user who can log in', async () => {
  const phone = randomPhone();
  const code = await sendRegistrationCode(phone);
  const registered = expectStatus(await register(phone, code), 201);
  assert.equal(registered.success, true);
  assert.equal(registered.isNewUser, true);
  assert.match(registered.sessionId, UUID);
  assertAuthUser(registered.user, phone);
  assert.equal(registered.user.name, 'Ada');

  const app = new Http(GATEWAY_A, registered.token);
  const me = expectStatus(await app.get('/api/auth/me'), 200);
  assert.equal(me.user.id, registered.user.id);
  assert.equal((await login(phone)).id, registered.user.id);
  expectRefusal(await anyone.post('/api/auth/send-otp', { phone }), 409, 'phone_taken');
});

story('a registration needs a name and the phone its code was sent to', async () => {
  const phone = randomPhone();
  const code = await sendRegistrationCode(phone);
  const body = { name: ' ', phone, otp: code.otp, sessionId: code.sessionId };
  const path = '/api/auth/verify-otp-register';
  expectRefusal(await anyone.post(path, body), 400, 'validation_error');
  expectRefusal(await anyone.post(path, { ...body, name: '' }), 400, 'missing');
  expectRefusal(await register(randomPhone(), code), 400, 'invalid_otp');
});

story('a phone that got a user after the code was sent is taken', async () => {
  const phone = randomPhone();
  const code = await sendRegistrationCode(phone);
  await login(phone);
  expectRefusal(await register(phone, code), 409, 'phone_taken');
});

story('of two registrations at once one wins', async () => {
  const phone = randomPhone();
  const codes = [await sendRegistrationCode(phone), await sendRegistrationCode(phone)];
  const both = await Promise.all(codes.map((code) => register(phone, code)));
  const shown = both.map((received) => received.shown).join('\n');
  assert.equal(both.filter(({ status }) => status === 201).length, 1, shown);
  const loser = both.find(({ status }) => status !== 201);
  if (loser.status === 409) expectRefusal(loser, 409, 'phone_taken');
  else expectRefusal(loser, 400, 'invalid_otp');
});
