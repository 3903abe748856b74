// How a socket gets in: both transports and the upgrade between them, where a token may stand, what
// a client may declare, and who is turned away.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  INSTANT,
  assertBothSpellings,
  claimsOf,
  expectStatus,
  login,
  logins,
  randomId,
  signToken,
  story,
  within,
} from './harness.mjs';

const POLLING = `${GATEWAY_A}/socket.io/?EIO=4&transport=polling`;
const SEPARATOR = '\x1e';
const FORBIDDEN_ORIGIN = 'https://evil.example';
const PARAMETERS = { pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000 };

const websocket = { transports: ['websocket'] };
const polling = { transports: ['polling'] };
const upgrading = { transports: ['polling', 'websocket'] };
const bearer = (token) => ({ extraHeaders: { Authorization: `Bearer ${token}` } });
const nowInSeconds = () => Math.floor(Date.now() / 1000);

async function openPolling(headers) {
  const response = await fetch(POLLING, { headers });
  const text = await response.text();
  return { status: response.status, text };
}

function assertParameters(handshake, upgrades) {
  const { sid, upgrades: offered, ...parameters } = handshake;
  assert.ok(sid && typeof sid === 'string');
  assert.deepEqual(offered, upgrades);
  assert.deepEqual(parameters, PARAMETERS);
}

function assertConnectReply(packet) {
  const reply = JSON.parse(packet.slice(1));
  assert.ok(reply.sid && typeof reply.sid === 'string', packet);
  assert.ok(!('pid' in reply), packet);
}

story('a polling handshake offers the upgrade and answers CONNECT without a pid', async () => {
  const user = await login();
  const opened = await openPolling();
  assert.equal(opened.status, 200);
  assert.equal(opened.text[0], '0');
  const handshake = JSON.parse(opened.text.slice(1));
  assertParameters(handshake, ['websocket']);

  const session = `${POLLING}&sid=${handshake.sid}`;
  const post = async (body) => {
    const headers = { 'content-type': 'text/plain;charset=UTF-8' };
    const response = await fetch(session, { method: 'POST', headers, body });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), 'ok');
  };
  const collect = async () => {
    const packets = [];
    while (!packets.some((packet) => packet.startsWith('42["connected"'))) {
      const response = await fetch(session);
      assert.equal(response.status, 200);
      const received = (await response.text()).split(SEPARATOR);
      if (received.includes('2')) await post('3');
      packets.push(...received);
    }
    return packets;
  };
  await post(`40${JSON.stringify({ token: user.token })}`);
  const packets = await within(collect(), 5_000, 'no "connected" by polling');
  const connect = packets.find((packet) => packet.startsWith('4'));
  assert.ok(connect.startsWith('40{'), `the first packet was ${connect}`);
  assertConnectReply(connect.slice(1));
});

story('a websocket handshake has the same parameters and nothing to upgrade to', async (stage) => {
  const user = await login();
  const listener = stage.open('S1', GATEWAY_A, user, websocket);
  const packets = [];
  const { engine } = listener.socket.io;
  const handshake = new Promise((resolve) => engine.once('handshake', resolve));
  engine.on('packet', ({ type, data }) => type === 'message' && packets.push(data));
  await listener.connected();
  assertParameters(await within(handshake, 5_000, 'no handshake'), []);
  assertConnectReply(packets[0]);
});

for (const [name, transports] of Object.entries({ websocket, polling, upgrading })) {
  for (const place of ['auth', 'header']) {
    story(`${name} with the token in ${place}: connected comes first and once`, async (stage) => {
      const [u1, u2] = await logins(2);
      const conversationId = await u1.openConversation(u2);
      const options = { ...transports, ...(place === 'header' && bearer(u1.token)) };
      const s1 = await stage.connect('S1', GATEWAY_A, place === 'auth' ? u1 : null, options);
      const s2 = await stage.connect('S2', GATEWAY_B, u2);

      const connected = await s1.heard('connected');
      assert.deepEqual(Object.keys(connected).sort(), ['socketId', 'timestamp', 'userId']);
      assert.equal(connected.userId, u1.id);
      assert.equal(connected.socketId, s1.socket.id);
      assert.match(connected.timestamp, INSTANT);
      assert.equal(s1.log[0].name, 'connected');

      // On the way from one transport to the other nothing may be lost or doubled.
      for (const content of ['1', '2', '3', '4', '5']) {
        s1.emit('send-message', { conversationId, content });
        s2.emit('send-message', { conversationId, content: `answer ${content}` });
      }
      const answers = await s1.heardTimes(5, 'message', ({ from }) => from === u2.id);
      assert.deepEqual(answers.map(({ text }) => text), [1, 2, 3, 4, 5].map((n) => `answer ${n}`));
      for (const answer of answers) assertBothSpellings(answer);
      const arrived = await s2.heardTimes(5, 'message', ({ from }) => from === u1.id);
      assert.deepEqual(arrived.map(({ text }) => text), ['1', '2', '3', '4', '5']);

      const { engine } = s1.socket.io;
      const wanted = name === 'polling' ? 'polling' : 'websocket';
      if (engine.transport.name !== wanted) {
        const upgraded = new Promise((resolve) => engine.once('upgrade', resolve));
        await within(upgraded, 5_000, 'no upgrade');
      }
      assert.equal(engine.transport.name, wanted);
      s2.emit('send-message', { conversationId, content: 'after' });
      await s1.heard('message', ({ text }) => text === 'after');
      await s1.silence();
      assert.equal(s1.count('connected'), 1);
      assert.equal(s1.count('message', ({ from }) => from === u2.id), 6);
    });
  }
}

story('a bare token in the header and tokens of the old formats get in', async (stage) => {
  const user = await login();
  const { sessionId: _, ...claims } = claimsOf(user.token);
  const { iat, exp } = claims;
  const accepted = {
    'signed again': signToken(claimsOf(user.token)),
    'HS512': signToken(claimsOf(user.token), { algorithm: 'HS512' }),
    'only uid': signToken({ uid: user.id, iat, exp }),
    'without a session': signToken(claims),
  };
  await stage.connect('bare', GATEWAY_A, null, { extraHeaders: { Authorization: user.token } });
  for (const [label, token] of Object.entries(accepted)) {
    await stage.connect(label, GATEWAY_A, { token });
  }
});

story('auth comes before the header', async (stage) => {
  const [u1, u2] = await logins(2);
  const s1 = await stage.connect('S1', GATEWAY_A, u1, bearer(u2.token));
  assert.equal((await s1.heard('connected')).userId, u1.id);
  const bad = { token: 'not a token' };
  const error = await stage.refused('bad auth', GATEWAY_A, bad, bearer(u2.token));
  assert.equal(error, 'unauthorized');
});

story('bad tokens are unauthorized on both transports', async (stage) => {
  const user = await login();
  const claims = claimsOf(user.token);
  const stranger = randomId();
  const nobody = { uid: stranger, id: stranger, userId: stranger, _id: stranger };
  const fresh = { iat: nowInSeconds(), exp: nowInSeconds() + 3600 };
  const tokens = {
    'garbage': 'x.y.z',
    'with Bearer': `Bearer ${user.token}`,
    'expired': signToken({ ...claims, iat: nowInSeconds() - 7200, exp: nowInSeconds() - 3600 }),
    'of another secret': signToken(claims, { secret: 'another secret, long enough to be one' }),
    'alg none': signToken(claims, { algorithm: 'none' }),
    'without an id': signToken(fresh),
    'of nobody': signToken({ ...nobody, ...fresh }),
    'of two users': signToken({ ...claims, id: stranger }),
  };
  const cases = Object.entries(tokens).map(([label, token]) => [label, { auth: { token } }]);
  cases.push(['no token', {}]);
  cases.push(['token in the query', { query: { token: user.token } }]);
  cases.push(['expired in the header', bearer(tokens.expired)]);
  const refusals = cases.flatMap(([label, options]) =>
    [websocket, polling].map(async (transports) => {
      const title = `${label} by ${transports.transports}`;
      const error = await stage.refused(title, GATEWAY_A, null, { ...options, ...transports });
      assert.equal(error, 'unauthorized', title);
    }),
  );
  await Promise.all(refusals);
  for (const { label, log } of stage.listeners) assert.equal(log.length, 0, label);
});

const declaring = {
  auth: (clientType) => ({ clientType }),
  query: (clientType) => ({ query: { clientType } }),
  header: (clientType) => ({ extraHeaders: { 'Client-Type': clientType } }),
};

story('a socket hears the names of what it declared, wherever it did', async (stage) => {
  const [u1, u2] = await logins(2);
  const conversationId = await u1.openConversation(u2);
  const names = {
    electron: ['connected', 'receive-message'],
    flutter: ['message'],
    unified: ['message:created'],
    // Only the exact words declare something.
    Flutter: ['connected', 'message', 'receive-message'],
  };
  const opened = [];
  for (const [clientType, expected] of Object.entries(names)) {
    for (const [place, declare] of Object.entries(declaring)) {
      const label = `${clientType} in ${place}`;
      opened.push([stage.connect(label, GATEWAY_B, u2, declare(clientType)), expected]);
    }
  }
  for (const [place, declare] of Object.entries(declaring)) {
    const options = { ...upgrading, ...declare('flutter') };
    opened.push([stage.connect(`${place} before upgrade`, GATEWAY_B, u2, options), names.flutter]);
  }
  const outranked = { ...declaring.auth('electron'), ...declaring.query('flutter') };
  opened.push([stage.connect('auth before query', GATEWAY_B, u2, outranked), names.electron]);
  const queried = { ...declaring.query('flutter'), ...declaring.header('electron') };
  opened.push([stage.connect('query before header', GATEWAY_B, u2, queried), names.flutter]);

  const listeners = await Promise.all(opened.map(([connecting]) => connecting));
  const body = { from: u1.id, text: 'hello', conversationId };
  expectStatus(await u1.http.post('/api/messages', body), 200);
  const possible = new Set(Object.values(names).flat());
  await Promise.all(
    listeners.map(async (listener, index) => {
      const expected = opened[index][1];
      for (const name of expected) await listener.heard(name);
      await listener.silence();
      const heard = listener.log.map(({ name }) => name).filter((name) => possible.has(name));
      assert.deepEqual(heard.sort(), [...expected].sort(), listener.label);
    }),
  );
});

story('a foreign origin is refused on both transports, none is welcome', async (stage) => {
  const user = await login();
  const refused = await openPolling({ origin: FORBIDDEN_ORIGIN });
  assert.ok(refused.status >= 400 && refused.status < 500, `answered ${refused.status}`);
  assert.ok(!refused.text.includes('"sid"'), refused.text);
  assert.equal((await openPolling()).status, 200);

  const extraHeaders = { Origin: FORBIDDEN_ORIGIN };
  for (const transports of [websocket, polling]) {
    const label = `foreign origin by ${transports.transports}`;
    const error = await stage.refused(label, GATEWAY_A, user, { ...transports, extraHeaders });
    assert.notEqual(error, 'unauthorized', 'the transport itself must be refused');
    assert.notEqual(error, 'timeout', label);
    await stage.connect(`no origin by ${transports.transports}`, GATEWAY_A, user, transports);
  }
});
