// Answers, forwarded messages and entries about calls, as the shipped mobile client sends them.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  ID,
  User,
  expectStatus,
  logins,
  required,
  story,
} from './harness.mjs';

// Nobody gives an address to this suite, but accounts that were imported have one.
const IMPORTED = JSON.parse(
  required('CHAT_TEST_IMPORTED', 'a user with an e-mail address: {id, phone, token, email} as JSON'),
);

story('F7: an answer carries its quote unchanged to everybody', async (stage) => {
  const [u1, u2] = await logins(2);
  const [s1, s2] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S2', GATEWAY_B, u2),
  ]);
  const send = async (body) => {
    const received = await u1.http.post('/api/messages', { from: u1.id, toId: u2.id, ...body });
    return expectStatus(received, 200).message;
  };
  const first = await send({ text: 'first' });
  const [stored] = await u2.history(first.conversationId);
  const live = await s2.heard('message', (message) => message._id === first._id);
  for (const plain of [first, stored, live]) {
    assert.equal(plain.replyTo ?? null, null);
    assert.equal(plain.replyToMessage ?? null, null);
  }
  const replyToMessage = {
    id: first._id,
    text: 'first',
    fileType: null,
    fileName: null,
    fileUrl: null,
    audioDuration: null,
    from: u1.id,
  };
  const sent = await send({ text: 'second', replyTo: first._id, replyToMessage });
  const mine = (message) => message._id === sent._id;
  const shown = [
    sent,
    await s1.heard('message', mine),
    await s2.heard('message', mine),
    await s2.heard('receive-message', mine),
    (await u2.history(sent.conversationId))[1],
  ];
  for (const message of shown) {
    assert.equal(message.replyTo, first._id);
    assert.deepEqual(message.replyToMessage, replyToMessage);
  }
});

story('F11: a forwarded message reaches whoever the contact names, with its origin', async (stage) => {
  const [u1] = await logins(1);
  const u2 = new User(IMPORTED.id, IMPORTED.phone, IMPORTED.token);
  const conversationId = await u1.openConversation(u2);
  for (const gateway of [GATEWAY_A, GATEWAY_B]) {
    const path = `/conversations?me=${u1.id}&status=active`;
    const list = expectStatus(await new Http(gateway, u1.token).get(path), 200);
    assert.ok(Array.isArray(list), JSON.stringify(list));
    assert.deepEqual(list.map(({ _id }) => _id), [conversationId]);
    assert.deepEqual([...list[0].participants].sort(), [u1.id, u2.id].sort());
  }
  const s2 = await stage.connect('S2', GATEWAY_B, u2);
  for (const toPhone of [u2.phone, u2.id, IMPORTED.email]) {
    const body = {
      from: u1.id,
      toPhone,
      text: 'forwarded text',
      forwarded: true,
      forwardedFrom: u2.id,
      forwardedMessageId: u1.id,
      fileUrl: 'http://localhost/files/1.pdf',
      fileName: null,
      fileType: null,
    };
    const sent = expectStatus(await u1.http.post('/api/messages', body), 200).message;
    const heard = await s2.heard('message', (message) => message._id === sent._id);
    for (const message of [sent, heard]) {
      assert.deepEqual([message.conversationId, message.to], [conversationId, u2.id], toPhone);
      assert.equal(message.forwarded, true);
      assert.equal(message.forwardedFrom, u2.id);
      assert.equal(message.forwardedMessageId, u1.id);
      assert.equal(message.fileUrl, body.fileUrl);
    }
  }
});

story('an entry about a call is rendered as one on both sides', async (stage) => {
  const [u1, u2] = await logins(2);
  const s2 = await stage.connect('S2', GATEWAY_B, u2);
  for (const callDuration of [null, '65']) {
    const body = {
      from: u1.id,
      toPhone: u2.phone,
      text: '📞 Outgoing call',
      messageType: 'call_activity',
      callActivity: true,
      callType: 'outgoing',
      callStatus: 'completed',
      isVideoCall: false,
      callStartTime: '2026-01-31T08:15:30.123456',
      callDuration,
    };
    const sent = expectStatus(await u1.http.post('/api/messages', body), 200).message;
    assert.match(sent._id, ID);
    const heard = await s2.heard('message', (message) => message._id === sent._id);
    const history = (await u2.history(sent.conversationId)).at(-1);
    for (const message of [sent, heard, history]) {
      assert.equal(message.messageType, 'call_activity');
      assert.equal(message.callActivity, true);
      assert.equal(message.callType, 'outgoing');
      assert.equal(message.callStatus, 'completed');
      assert.equal(message.isVideoCall, false);
      assert.equal(message.callStartTime, body.callStartTime);
      assert.equal(message.callDuration ?? null, callDuration);
      assert.equal(message.type, 'text');
    }
  }
});
