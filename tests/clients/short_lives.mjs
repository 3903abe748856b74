// What waits for its end: codes that nobody uses, calls that nobody answers, and calls whose devices go. Runs
// towards a suite in which all of these are short; SPANS holds them, in milliseconds.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ANSWER, OFFER } from './contract.mjs';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  expectRefusal,
  expectStatus,
  logins,
  quietly,
  randomPhone,
  required,
  story,
} from './harness.mjs';
import { STILL_TO_COME, settled } from './settled.mjs';

const SPANS = JSON.parse(required('SPANS', '{code, ring, lease, grace}, in milliseconds'));
const [anyone, anyoneElsewhere] = [new Http(GATEWAY_A), new Http(GATEWAY_B)];

// A device that says nothing is missed after a lease, and its call ends after a grace.
const GONE_MS = SPANS.lease + SPANS.grace;
const PATIENCE_MS = GONE_MS + 10_000;

async function sendCode(path, phone) {
  return expectStatus(await anyone.post(`/api/auth/${path}`, { phone }), 200, 201);
}

// A caller (S1, S1b) and a callee (S2, S2b), each with an idle device, and somebody who knows both (S3).
async function scene(stage) {
  const [u1, u2, u3] = await logins(3);
  for (const [one, other] of [[u1, u2], [u1, u3], [u2, u3]]) await one.openConversation(other);
  const [s1, s1b, s2, s2b, s3] = await settled(stage, [
    ['S1', GATEWAY_A, u1],
    ['S1b', GATEWAY_B, u1, { clientType: 'electron' }],
    ['S2', GATEWAY_B, u2],
    ['S2b', GATEWAY_A, u2, { clientType: 'flutter' }],
    ['S3', GATEWAY_A, u3],
  ]);
  return { u1, u2, u3, s1, s1b, s2, s2b, s3 };
}

async function ring({ u2, s1, s1b, s2, s2b }) {
  s1.emit('call:invite', { to: u2.id, sdp: OFFER, kind: 'video' });
  const { callId } = await s1.heard('call:ringing');
  for (const own of [s1, s1b]) await own.heard('call:ringing', (body) => body.callId === callId);
  for (const ear of [s2, s2b]) await ear.heard('call:incoming', (body) => body.callId === callId);
  return callId;
}

async function talk(people) {
  const { s1, s1b, s2, s2b } = people;
  const callId = await ring(people);
  s2.emit('call:answer', { callId, accept: true, sdp: ANSWER });
  for (const own of [s1, s1b]) await own.heard('call:answer');
  assert.deepEqual(await s2b.heard('call:ended'), { callId, by: 'answered_elsewhere' });
  for (const ear of [s1, s1b, s2, s2b]) ear.forget();
  return callId;
}

// Who is there hears once that the call has ended, and of nothing else.
async function ended(ears, callId, by) {
  for (const ear of ears) {
    assert.deepEqual(await ear.heard('call:ended', undefined, PATIENCE_MS), { callId, by }, ear.label);
  }
  await Promise.all(ears.map((ear) => ear.silence({ background: AWAY })));
  for (const ear of ears) assert.equal(ear.count('call:ended'), 1, ear.label);
}

// That somebody has gone, too, is told late.
const AWAY = new Set([...STILL_TO_COME, 'presence', 'user-status-changed']);

describe('what waits for its end', { concurrency: 8 }, () => {
  for (const [purpose, verify] of [
    ['send-otp-login', 'verify-otp-login'],
    ['send-otp', 'verify-otp-register'],
  ]) {
    story(`F2: a code of ${purpose} that has run out says so`, async () => {
      const phone = randomPhone();
      const code = await sendCode(purpose, phone);
      const given = { otp: code.otp, sessionId: code.sessionId, name: 'Ada', phone };
      const use = (http, body = given) => http.post(`/api/auth/${verify}`, body);
      await pause(SPANS.code + 250);
      for (const http of [anyone, anyoneElsewhere]) {
        expectRefusal(await use(http), 400, 'expired_otp');
        expectRefusal(await use(http, { ...given, otp: '000000' }), 400, 'expired_otp');
      }

      // The next one works, with the session that has run out or without.
      const next = await sendCode(purpose, phone);
      expectRefusal(await use(anyone, { ...given, otp: next.otp }), 400, 'expired_otp');
      const fresh = { ...given, otp: next.otp, sessionId: next.sessionId };
      assert.ok(expectStatus(await use(anyoneElsewhere, fresh), 200, 201).token);
    });
  }

  story('F2: a resend keeps the first session alive as long as its own code', async () => {
    const phone = randomPhone();
    const first = await sendCode('send-otp-login', phone);
    await pause(SPANS.code * 0.6);
    const second = await sendCode('send-otp-login', phone);
    await pause(SPANS.code * 0.6);
    const use = ({ otp }, { sessionId }) => anyone.post('/api/auth/verify-otp-login', { otp, sessionId });
    expectRefusal(await use(first, first), 400, 'invalid_otp');
    assert.ok(expectStatus(await use(second, first), 200).token);
  });

  story('F14: a call that nobody answers ends for both, on every device', async (stage) => {
    const people = await scene(stage);
    const { s1, s1b, s2, s2b, s3 } = people;
    await quietly([s3], async () => {
      const callId = await ring(people);
      const rung = Date.now();
      await ended([s1, s1b, s2, s2b], callId, 'timeout');
      assert.ok(Date.now() - rung < SPANS.ring + 8_000, 'and not later');
      s2.emit('call:answer', { callId, accept: true, sdp: ANSWER });
      assert.equal((await s2.heard('call:error')).error, 'call_ended');
      assert.equal(s1.count('call:answer'), 0);
    }, { background: STILL_TO_COME });
  });

  story('F14: a call whose answering device stays away ends for all others', async (stage) => {
    const people = await scene(stage);
    const { s1, s1b, s2, s2b, s3 } = people;
    const callId = await talk(people);
    await quietly([s3], async () => {
      s2.socket.disconnect();
      await ended([s1, s1b, s2b], callId, 'disconnect');
    }, { background: AWAY });
  });

  story('F14: a call whose calling device stays away ends for all others', async (stage) => {
    const people = await scene(stage);
    const { s1, s1b, s2, s2b, s3 } = people;
    const callId = await talk(people);
    await quietly([s3], async () => {
      s1.socket.io.engine.transport.ws.terminate();
      await ended([s1b, s2, s2b], callId, 'disconnect');
    }, { background: AWAY });
  });

  story('F14: a call goes on when its device comes back, and whatever idle ones do', async (stage) => {
    const people = await scene(stage);
    const { u2, s1, s1b, s2, s2b, s3 } = people;
    const callId = await talk(people);
    const heard = await quietly([s1, s3], async () => {
      for (const idle of [s1b, s2b]) idle.socket.disconnect();
      s2.socket.io.engine.transport.ws.terminate();
      const back = await stage.connect('S2 back', GATEWAY_A, u2);
      await pause(GONE_MS);
      assert.equal(back.count('call:ended'), 0);
      return back;
    }, { background: AWAY });
    s1.emit('call:hangup', { callId });
    for (const ear of [s1, heard]) {
      assert.deepEqual(await ear.heard('call:ended'), { callId, by: people.u1.id });
    }
  });
});
