// Calls as both client families make them: a mobile client with the newer names, a desktop client with
// the older ones, and one of each. Who answers sits behind another gateway than who calls.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  INSTANT,
  expectRefusal,
  expectStatus,
  logins,
  quietly,
  randomId,
  story,
} from './harness.mjs';

const OFFER = { type: 'offer', sdp: 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n', extra: [1.5, null] };
const ANSWER = { type: 'answer', sdp: 'v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\n' };

const candidate = (number) => ({
  candidate: `candidate:${number} 1 udp 1 127.0.0.1 9 typ host`,
  sdpMid: '0',
  sdpMLineIndex: 0,
});

// What no server of this suite emits.
const OLD_NAMES = ['call_offer', 'call_answer', 'ice_candidate', 'call_end'];

async function scene(stage, options) {
  const [u1, u2, u3] = await logins(3);
  const [s1, s2, s2b, s3] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1, options),
    stage.connect('S2', GATEWAY_B, u2, options),
    stage.connect('S2b', GATEWAY_A, u2, options),
    stage.connect('S3', GATEWAY_B, u3, options),
    u1.openConversation(u2),
    u1.openConversation(u3),
  ]);
  await u2.openConversation(u3);
  return { u1, u2, u3, s1, s2, s2b, s3 };
}

const of = (callId) => (body) => body.callId === callId;

// Rings from S1 and returns the id of the call, once everybody concerned has heard of it.
async function ring({ u1, u2, s1, s2, s2b }, name, kind) {
  const rung = s1.count('call:ringing');
  s1.emit(name, { to: u2.id, sdp: OFFER, ...(kind && { kind }) });
  const ringing = (await s1.heardTimes(rung + 1, 'call:ringing')).at(-1);
  const heard = kind ?? 'audio';
  assert.deepEqual(ringing, { callId: ringing.callId, to: u2.id, kind: heard });
  const expected = { callId: ringing.callId, from: u1.id, sdp: OFFER, kind: heard };
  for (const callee of [s2, s2b]) {
    assert.deepEqual(await callee.heard('call:incoming', of(ringing.callId)), expected);
  }
  return ringing.callId;
}

async function ended(listeners, callId, by) {
  for (const listener of listeners) {
    assert.deepEqual(await listener.heard('call:ended', of(callId)), { callId, by });
    assert.equal(listener.count('call:ended', of(callId)), 1, listener.label);
  }
}

function neverOldNames(listeners) {
  for (const listener of listeners) {
    for (const name of OLD_NAMES) assert.equal(listener.count(name), 0, `${listener.label} ${name}`);
  }
}

story('a call of the mobile client is answered and hung up', async (stage) => {
  const people = await scene(stage);
  const { u1, u2, s1, s2, s2b, s3 } = people;
  const callId = await ring(people, 'call:invite', 'video');

  // Both sides find candidates before the answer.
  s1.emit('call:candidate', { callId, candidate: candidate(1) });
  s2.emit('call:candidate', { callId, candidate: candidate(2) });
  s2.emit('call:answer', { callId, accept: true, sdp: ANSWER });
  const answer = await s1.heard('call:answer', of(callId));
  assert.deepEqual(answer, { callId, from: u2.id, sdp: ANSWER, kind: 'video' });
  const early = { callId, from: u2.id, candidate: candidate(2) };
  assert.deepEqual(await s1.heard('call:candidate'), early);
  const names = s1.log.map(({ name }) => name).filter((name) => name.startsWith('call:'));
  assert.deepEqual(names, ['call:ringing', 'call:answer', 'call:candidate']);
  const ofCaller = { callId, from: u1.id, candidate: candidate(1) };
  assert.deepEqual(await s2.heard('call:candidate'), ofCaller);
  await ended([s2b], callId, 'answered_elsewhere');

  // And after it.
  s1.emit('call:candidate', { callId, candidate: candidate(3) });
  assert.deepEqual((await s2.heardTimes(2, 'call:candidate'))[1].candidate, candidate(3));
  s2.emit('call:candidate', { callId, candidate: { candidate: '', sdpMid: null } });
  const last = (await s1.heardTimes(2, 'call:candidate'))[1].candidate;
  assert.deepEqual(last, { candidate: '', sdpMid: null });
  assert.equal(s2.count('call:ended'), 0, 'the answering device goes on');
  assert.equal(s2b.count('call:candidate'), 0, 'the others hear no candidates');

  // A device that did not answer cannot end it, nor answer too.
  await quietly([s1, s2], async () => {
    s2b.emit('call:hangup', { callId });
    s2b.emit('call:answer', { callId, accept: true, sdp: ANSWER });
    const refused = await s2b.heard('call:error');
    assert.equal(refused.error, 'already_answered');
    assert.ok(refused.message, JSON.stringify(refused));
  });

  s1.emit('call:hangup', { callId });
  await ended([s1, s2], callId, u1.id);
  await s2b.heardTimes(2, 'call:ended');
  await quietly([s1, s2, s2b, s3], () => {
    s1.emit('call:hangup', { callId });
    s1.emit('call:hangup', { callId: null });
    s2.emit('call:candidate', { callId, candidate: candidate(4) });
  });
  assert.equal(s3.log.filter(({ name }) => name.startsWith('call')).length, 0);
});

story('a call of the mobile client is declined, and another finds its callee busy', async (stage) => {
  const people = await scene(stage);
  const { u1, u2, u3, s1, s2, s2b, s3 } = people;
  const callId = await ring(people, 'call:invite', 'audio');

  await quietly([s1, s2, s2b], async () => {
    for (const busy of [u1, u2]) {
      s3.emit('call:invite', { to: busy.id, sdp: OFFER, kind: 'audio' });
      const told = await s3.heard('call:busy', ({ to }) => to === busy.id);
      assert.deepEqual(told, { to: busy.id, error: 'busy' });
    }
    // Strangers to a call cannot touch it.
    s3.emit('call:hangup', { callId });
    s3.emit('call:candidate', { callId, candidate: candidate(1) });
    s3.emit('call:answer', { callId, accept: false });
    assert.ok((await s3.heard('call:error')).error);
  });
  assert.equal(s3.count('call:ringing'), 0);

  s2.emit('call:answer', { callId, accept: false });
  for (const listener of [s1, s2, s2b]) {
    const declined = await listener.heard('call:declined');
    assert.deepEqual(declined, { callId, from: u2.id });
  }
  await quietly([s1, s2], async () => {
    s2b.emit('call:answer', { callId, accept: true, sdp: ANSWER });
    s1.emit('call:hangup', { callId });
    assert.equal((await s2b.heard('call:error')).error, 'call_ended');
  });

  // Nobody is busy any more; who calls may give up.
  const again = await ring(people, 'call:invite', 'audio');
  assert.notEqual(again, callId);
  s1.emit('call:hangup', { callId: again });
  await ended([s1, s2, s2b], again, u1.id);
  neverOldNames([s1, s2, s2b, s3]);

  const { calls, nextCursor } = expectStatus(await u2.http.get('/api/calls'), 200);
  assert.equal(nextCursor, null);
  assert.deepEqual(
    calls.map(({ id, state, endReason }) => [id, state, endReason]),
    [
      [again, 'ended', 'cancelled'],
      [callId, 'ended', 'declined'],
    ],
  );
  for (const call of calls) {
    assert.equal(call.callerId, u1.id);
    assert.equal(call.calleeId, u2.id);
    assert.equal(call.kind, 'audio');
    assert.match(call.placedAt, INSTANT);
    assert.match(call.endedAt, INSTANT);
    assert.equal(call.answeredAt, null);
  }
  assert.deepEqual(expectStatus(await u3.http.get('/api/calls'), 200).calls, []);
});

story('a call survives that a socket goes and comes back', async (stage) => {
  const people = await scene(stage);
  const { u1, u2, s1, s2, s2b } = people;
  const idle = await stage.connect('S1 idle', GATEWAY_B, u1);
  const callId = await ring(people, 'call:invite', 'audio');
  s2.emit('call:answer', { callId, accept: true, sdp: ANSWER });
  await s1.heard('call:answer');

  // An idle device of a party is none of the call's business.
  await quietly([s1, s2], () => {
    idle.socket.disconnect();
    s2b.socket.disconnect();
  });

  s2.socket.io.engine.close();
  const back = await stage.connect('S2 back', GATEWAY_A, u2);
  s1.emit('call:candidate', { callId, candidate: candidate(1) });
  // Until the new socket has taken over, candidates go to the one that is gone.
  let tries = 1;
  while (back.count('call:candidate') === 0 && tries < 50) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    s1.emit('call:candidate', { callId, candidate: candidate((tries += 1)) });
  }
  assert.equal((await back.heard('call:candidate')).callId, callId);
  back.emit('call:candidate', { callId, candidate: candidate(9) });
  const heard = await s1.heard('call:candidate');
  assert.deepEqual(heard, { callId, from: u2.id, candidate: candidate(9) });
  assert.equal(s1.count('call:ended'), 0);
  back.emit('call:hangup', { callId });
  await ended([s1, back], callId, u2.id);
});

story('a call of the desktop client goes by its older names', async (stage) => {
  const people = await scene(stage, { clientType: 'electron' });
  const { u1, u2, s1, s2, s2b, s3 } = people;
  const callId = await ring(people, 'call_offer');

  await quietly([s1, s2, s2b], async () => {
    for (const [number, busy] of [u1, u2].entries()) {
      s3.emit('call_offer', { to: busy.id, sdp: OFFER });
      const told = (await s3.heardTimes(number + 1, 'call_error')).at(-1);
      assert.equal(told.error, 'busy');
    }
    s3.emit('ice_candidate', { callId, candidate: candidate(1) });
    s3.emit('call_end', { callId });
    s3.emit('call_offer', { to: s3.socket.id, sdp: OFFER });
    await s3.heardTimes(3, 'call_error');
    s3.emit('call_offer', { sdp: OFFER });
    await s3.heardTimes(4, 'call_error');
    s3.emit('call_offer', { to: people.u3.id, sdp: OFFER });
    await s3.heardTimes(5, 'call_error');
  });
  assert.equal(s3.count('call:busy') + s3.count('call:ringing'), 0);

  s2.emit('call_answer', { callId, sdp: ANSWER });
  const answer = await s1.heard('call:answer', of(callId));
  assert.deepEqual(answer, { callId, from: u2.id, sdp: ANSWER, kind: 'audio' });
  await ended([s2b], callId, 'answered_elsewhere');
  s2b.emit('call_answer', { callId, sdp: ANSWER });
  await s2b.heard('call:error');

  s1.emit('ice_candidate', { callId, candidate: candidate(1) });
  s2.emit('ice_candidate', { callId, candidate: candidate(2) });
  assert.deepEqual(await s2.heard('call:candidate'), {
    callId,
    from: u1.id,
    candidate: candidate(1),
  });
  assert.deepEqual(await s1.heard('call:candidate'), {
    callId,
    from: u2.id,
    candidate: candidate(2),
  });
  assert.equal(s1.count('call:answer'), 1);
  s2.emit('call_end', { callId });
  await ended([s1, s2], callId, u2.id);
  await quietly([s1, s2], () => s2.emit('call_end', { callId }));

  const ringing = await ring(people, 'call_offer');
  s1.emit('call_end', { callId: ringing });
  await ended([s1, s2, s2b], ringing, u1.id);
  neverOldNames([s1, s2, s2b, s3]);
});

for (const [offer, answer] of [
  ['call_offer', ['call:answer', { accept: true }]],
  ['call:invite', ['call_answer', {}]],
]) {
  story(`${offer} is answered by ${answer[0]}`, async (stage) => {
    const people = await scene(stage);
    const { u1, u2, s1, s2, s2b } = people;
    const callId = await ring(people, offer);
    s2.emit(answer[0], { callId, sdp: ANSWER, ...answer[1] });
    const heard = await s1.heard('call:answer');
    assert.deepEqual(heard, { callId, from: u2.id, sdp: ANSWER, kind: 'audio' });
    await ended([s2b], callId, 'answered_elsewhere');
    s1.emit('call_end', { callId });
    await ended([s1, s2], callId, u1.id);
    neverOldNames([s1, s2, s2b]);
  });
}

story('new clients are acknowledged and read one spelling', async (stage) => {
  const { u1, u2, u3, s1, s2, s2b } = await scene(stage, { clientType: 'unified' });
  const placed = await s1.ask('call:invite', { userId: u2.id, sdp: OFFER, kind: 'video' });
  assert.equal(placed.ok, true, JSON.stringify(placed));
  const { id: callId, placedAt, ...rest } = placed.call;
  assert.match(placedAt, INSTANT);
  assert.deepEqual(rest, {
    callerId: u1.id,
    calleeId: u2.id,
    kind: 'video',
    state: 'ringing',
    answeredAt: null,
    endedAt: null,
    endReason: null,
  });
  assert.deepEqual(await s1.heard('call:ringing'), { callId, userId: u2.id, kind: 'video' });
  const incoming = { callId, userId: u1.id, sdp: OFFER, kind: 'video' };
  assert.deepEqual(await s2.heard('call:incoming'), incoming);

  const answered = await s2.ask('call:answer', { callId, accept: true, sdp: ANSWER });
  assert.equal(answered.call.state, 'answered');
  const answer = { callId, userId: u2.id, sdp: ANSWER, kind: 'video' };
  assert.deepEqual(await s1.heard('call:answer'), answer);
  assert.deepEqual(await s2b.heard('call:ended'), { callId, by: 'answered_elsewhere' });
  const added = await s1.ask('call:candidate', { callId, candidate: candidate(1) });
  assert.deepEqual(added, { ok: true });
  const heard = { callId, userId: u1.id, candidate: candidate(1) };
  assert.deepEqual(await s2.heard('call:candidate'), heard);

  for (const [name, body, error] of [
    ['call:invite', { userId: u3.id, sdp: OFFER }, 'busy'],
    ['call:invite', { userId: randomId(), sdp: OFFER }, 'user_not_found'],
    ['call:invite', { userId: u2.id, sdp: 'v=0' }, 'validation_error'],
    ['call:answer', { callId, accept: true, sdp: ANSWER }, 'forbidden'],
    ['call:candidate', { callId: randomId(), candidate: candidate(1) }, 'not_found'],
    ['call:hangup', {}, 'missing'],
  ]) {
    const refused = await s1.ask(name, body);
    assert.equal(refused.ok, false, name);
    assert.equal(refused.error, error, JSON.stringify(refused));
  }
  const over = await s1.ask('call:hangup', { callId });
  assert.equal(over.call.state, 'ended');
  assert.equal(over.call.endReason, 'hung_up');
  await ended([s1, s2], callId, u1.id);
});

story('ice servers and calls are for those who are logged in', async () => {
  const [u1] = await logins(1);
  const answer = expectStatus(await u1.http.get('/api/calls/ice-servers'), 200);
  assert.ok(Array.isArray(answer.iceServers), JSON.stringify(answer));
  expectRefusal(await u1.http.get('/api/calls?cursor=nonsense'), 400, 'validation_error');
  u1.http.headers.authorization = 'Bearer nonsense';
  for (const path of ['/api/calls', '/api/calls/ice-servers']) {
    expectRefusal(await u1.http.get(path), 401);
  }
});
