// Who is online, as both families' clients are told of it: on a new socket, when a partner comes or
// goes, and by request.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import {
  GATEWAY_A,
  GATEWAY_B,
  ID,
  INSTANT,
  expectStatus,
  logins,
  quietly,
  randomId,
  story,
  within,
} from './harness.mjs';

// Whoever is gone is online for some seconds more.
const GRACE_MS = 12_000;

const PRESENCE = ['presence', 'presence:initial', 'online-users', 'user-status-changed'];

const declaring = {
  auth: (clientType) => ({ clientType }),
  query: (clientType) => ({ query: { clientType } }),
  header: (clientType) => ({ extraHeaders: { 'Client-Type': clientType } }),
};

// A socket counts a moment after it is connected.
async function untilOnline(viewer, ...users) {
  const isSo = async () => {
    const path = `/api/users/presence?ids=${users.map(({ id }) => id)}`;
    const answer = expectStatus(await viewer.http.get(path), 200);
    return users.every(({ id }) => answer[id]);
  };
  const waited = (async () => {
    while (!(await isSo())) await pause(20);
  })();
  await within(waited, 5_000, 'not online');
}

function assertState(state, online) {
  const shown = JSON.stringify(state);
  assert.equal(state.online, online, shown);
  assert.equal(state.isOnline, online, shown);
  assert.match(state.at, INSTANT, shown);
  assert.match(state.lastSeen, INSTANT, shown);
}

function assertPartners(online, ...ids) {
  assert.ok(Array.isArray(online), JSON.stringify(online));
  for (const id of online) assert.match(id, ID);
  assert.deepEqual([...online].sort(), [...ids].sort());
}

story('F1: a mobile client is told on its new socket how its partners are', async (stage) => {
  const [u1, u2, u3, stranger] = await logins(4);
  await Promise.all([u1.openConversation(u2), u1.openConversation(u3)]);
  await stage.connect('U2', GATEWAY_B, u2);
  await stage.connect('stranger', GATEWAY_B, stranger);
  await untilOnline(u1, u2, stranger);
  for (const options of [{}, { clientType: 'flutter' }]) {
    const s1 = await stage.connect('S1', GATEWAY_A, u1, options);
    const initial = await s1.heard('presence:initial');
    assert.match(initial.timestamp, INSTANT);
    assert.deepEqual(Object.keys(initial.users).sort(), [u2.id, u3.id].sort());
    assertState(initial.users[u2.id], true);
    assertState(initial.users[u3.id], false);
    await s1.silence();
    assert.equal(s1.count('presence:initial'), 1);
  }
});

story('F1: a partner who comes and goes is heard of once each time', async (stage) => {
  const [u1, u2] = await logins(2);
  await u1.openConversation(u2);
  const s1 = await stage.connect('S1', GATEWAY_A, u1, { clientType: 'flutter' });
  await s1.heard('presence:initial');
  const s2 = await stage.connect('S2', GATEWAY_B, u2);
  const came = await s1.heard('presence');
  assert.deepEqual([came.uid, came.online], [u2.id, true]);
  assert.match(came.at, INSTANT);
  assert.match(came.lastSeen, INSTANT);
  s2.socket.disconnect();
  const went = await s1.heard('presence', ({ online }) => !online, GRACE_MS);
  assert.equal(went.uid, u2.id);
  assert.ok(went.at > came.at);
  assert.equal(s1.count('presence'), 2);
});

story('D1: a desktop client is told who is online, and then of each change', async (stage) => {
  const [u1, u2, u3] = await logins(3);
  await u1.openConversation(u2);
  const s2 = await stage.connect('S2', GATEWAY_B, u2);
  const s3 = await stage.connect('S3', GATEWAY_B, u3);
  await untilOnline(u1, u2, u3);
  const ears = [];
  for (const [place, declare] of Object.entries(declaring)) {
    ears.push(await stage.connect(`S1 by ${place}`, GATEWAY_A, u1, declare('electron')));
  }
  for (const ear of ears) {
    assertPartners(await ear.heard('online-users'), u1.id, u2.id);
    assert.equal(ear.log[0].name, 'connected');
    assert.equal(ear.count('connected'), 1);
    assert.equal(ear.count('online-users'), 1);
  }

  const other = await stage.connect('S2 other', GATEWAY_A, u2);
  await ears[0].silence();
  await quietly(ears, async () => s2.socket.disconnect());
  s3.socket.disconnect();
  other.socket.disconnect();
  for (const ear of ears) {
    const went = await ear.heard('user-status-changed', undefined, GRACE_MS);
    assert.match(went.lastSeen, INSTANT);
    assert.deepEqual(
      went,
      { userId: u2.id, status: 'offline', isOnline: false, lastSeen: went.lastSeen },
    );
  }
  await stage.connect('S3 again', GATEWAY_B, u3);
  await stage.connect('S2 again', GATEWAY_B, u2);
  for (const ear of ears) {
    const came = await ear.heard('user-status-changed', ({ isOnline }) => isOnline);
    assert.deepEqual([came.userId, came.status], [u2.id, 'online']);
    assert.equal(ear.count('user-status-changed'), 2);
    assert.equal(ear.count('online-users'), 1, 'told when it came, and never again');
    assert.ok(!JSON.stringify(ear.log).includes(u3.id), 'the stranger is nobody to it');
    for (const name of ['presence', 'presence:initial']) assert.equal(ear.count(name), 0, name);
  }
});

story('undeclared clients hear the names of both families, new ones their own', async (stage) => {
  const [u1, u2] = await logins(2);
  await u1.openConversation(u2);
  const undeclared = await stage.connect('undeclared', GATEWAY_A, u1);
  const unified = await stage.connect('unified', GATEWAY_A, u1, { clientType: 'unified' });
  await undeclared.heard('presence:initial');
  assertPartners(await undeclared.heard('online-users'), u1.id);
  await stage.connect('S2', GATEWAY_B, u2);
  assert.equal((await undeclared.heard('presence')).uid, u2.id);
  assert.equal((await undeclared.heard('user-status-changed')).userId, u2.id);
  const came = await unified.heard('presence');
  assert.deepEqual(came, { userId: u2.id, isOnline: true, at: came.at });
  assert.match(came.at, INSTANT);
  await unified.silence();
  for (const name of PRESENCE) {
    assert.equal(undeclared.count(name), 1, name);
    assert.equal(unified.count(name), name === 'presence' ? 1 : 0, name);
  }
});

story('F4: presence by request has an entry for everybody who is asked for', async (stage) => {
  const [u1, u2] = await logins(2);
  await u1.openConversation(u2);
  await stage.connect('S2', GATEWAY_B, u2);
  await untilOnline(u1, u2);
  const unknown = randomId();
  const plain = expectStatus(await u1.http.get(`/api/users/presence?ids=${u2.id}`), 200);
  assert.equal(plain[u2.id], true);
  assert.ok(!('online' in plain), JSON.stringify(plain));
  const path = `/api/users/presence?ids=${u2.id},${unknown}&verbose=true`;
  const verbose = expectStatus(await u1.http.get(path), 200);
  for (const [id, online] of [[u2.id, true], [unknown, false]]) {
    assert.deepEqual(verbose[id], verbose.presence[id]);
    assert.equal(verbose[id].online, online);
    assert.match(verbose[id].at, INSTANT);
  }
  assert.deepEqual(expectStatus(await u1.http.get('/api/users/presence'), 200).online, [u2.id]);
});
