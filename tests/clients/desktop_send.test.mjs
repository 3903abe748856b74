// The desktop client sends over its socket and repeats a send whose answer it missed. Two sockets
// of the sender and one of the recipient declare `electron`, on different gateways.

import assert from 'node:assert/strict';
import {
  GATEWAY_A,
  GATEWAY_B,
  Http,
  assertBothSpellings,
  expectStatus,
  logins,
  quietly,
  randomId,
  story,
} from './harness.mjs';

const electron = { clientType: 'electron' };

async function desktops(stage) {
  const [u1, u2, u3] = await logins(3);
  const [s1a, s1b, s2, s3, conversationId] = await Promise.all([
    stage.connect('S1a', GATEWAY_A, u1, { ...electron, reconnection: true, reconnectionDelay: 50 }),
    stage.connect('S1b', GATEWAY_B, u1, electron),
    stage.connect('S2', GATEWAY_B, u2, electron),
    stage.connect('S3', GATEWAY_A, u3, electron),
    u1.openConversation(u2),
  ]);
  return { u1, u2, u3, s1a, s1b, s2, s3, conversationId };
}

const saying = (content) => (message) => message.content === content;
const called = (id) => (message) => message._id === id;

function assertNamedAtMostOnce({ s1a, s1b, s2, s3 }, id) {
  for (const listener of [s1a, s1b]) {
    assert.equal(listener.count('notification:new'), 0, `${listener.label} was notified`);
    assert.equal(listener.count('message'), 0, `${listener.label} heard the mobile name`);
  }
  const about = (notification) => notification.relatedMessage === id;
  assert.ok(s2.count('notification:new', about) <= 1, 'S2 was notified twice');
  assert.equal(s2.count('message'), 0, 'S2 heard the mobile name');
  assert.equal(s3.count('receive-message'), 0, 'S3 is no member');
}

story('D2: opening a conversation twice finds the first', async () => {
  const [u1, u2] = await logins(2);
  const body = { otherUserId: u2.id };
  const opened = expectStatus(await u1.http.post('/api/conversations', body), 201);
  assert.equal(opened.success, true);
  const again = expectStatus(await u1.http.post('/api/conversations', body), 200);
  assert.equal(again.conversation._id, opened.conversation._id);
  const elsewhere = new Http(GATEWAY_B, u2.token);
  const back = await elsewhere.post('/api/conversations', { otherUserId: u1.id });
  assert.equal(expectStatus(back, 200).conversation._id, opened.conversation._id);
});

story('D2: a send reaches both sides once, each under its own name', async (stage) => {
  const cast = await desktops(stage);
  const { u1, u2, s1a, s1b, s2, s3, conversationId } = cast;
  s1a.emit('send-message', { conversationId, content: 'hi', clientId: 'c1' });

  const first = await s1a.heard('message-sent', saying('hi'));
  for (const listener of [s1a, s1b]) {
    const sent = await listener.heard('message-sent', called(first._id));
    assertBothSpellings(sent);
    assert.equal(sent.conversationId, conversationId);
    assert.equal(sent.from, u1.id);
    assert.equal(sent.to, u2.id);
    assert.equal(sent.type, 'text');
    assert.equal(sent.lastMessageAt, sent.createdAt);
    assert.equal(sent.createdAt, first.createdAt);
    assert.equal(sent.clientId, 'c1');
  }
  const received = await s2.heard('receive-message', called(first._id));
  const { clientId, ...withoutClientId } = first;
  assert.equal(clientId, 'c1');
  assert.deepEqual(received, withoutClientId);

  await Promise.all([s1a, s1b, s2, s3].map((listener) => listener.silence()));
  assert.equal(s1a.count('message-sent'), 1);
  assert.equal(s1b.count('message-sent'), 1);
  assert.equal(s2.count('receive-message'), 1);
  assertNamedAtMostOnce(cast, first._id);
});

story('D2: a repeated client id answers the first message and reaches nobody else', async (stage) => {
  const cast = await desktops(stage);
  const { u1, s1a, s1b, s2, s3, conversationId } = cast;
  const send = { conversationId, content: 'hi', clientId: 'c1' };
  s1a.emit('send-message', send);
  const { _id, createdAt } = await s1a.heard('message-sent', saying('hi'));
  await s1b.heard('message-sent', called(_id));
  await s2.heard('receive-message', called(_id));

  const answeredAgain = async (times) => {
    const [answer] = (await s1a.heardTimes(times, 'message-sent')).slice(-1);
    assert.equal(answer._id, _id);
    assert.equal(answer.createdAt, createdAt);
    assert.equal(answer.clientId, 'c1');
  };
  await quietly([s1b, s2, s3], async () => {
    s1a.emit('send-message', send);
    await answeredAgain(2);

    const reconnected = new Promise((resolve) => s1a.socket.once('connect', resolve));
    s1a.socket.io.engine.close();
    await reconnected;
    s1a.emit('send-message', send);
    await answeredAgain(3);
  });
  await quietly([s1a, s1b, s2, s3], async () => {
    for (const gateway of [GATEWAY_A, GATEWAY_B]) {
      const received = await new Http(gateway, u1.token).post('/api/messages', send);
      assert.equal(expectStatus(received, 200).message._id, _id);
    }
  });
  assert.equal(s1a.count('message-sent'), 3);
  assertNamedAtMostOnce(cast, _id);

  const path = `/api/messages?conversationId=${conversationId}`;
  const { success, messages } = expectStatus(await u1.http.get(path), 200);
  assert.equal(success, true);
  assert.deepEqual(messages.map((message) => message._id), [_id]);
});

story('D2: one client id sent on two gateways at once is one message', async (stage) => {
  const { u1, s1a, s1b, s2, conversationId } = await desktops(stage);
  const send = { conversationId, content: 'hi', clientId: 'c1' };
  s1a.emit('send-message', send);
  s1b.emit('send-message', send);
  const { _id } = await s2.heard('receive-message', saying('hi'));
  for (const listener of [s1a, s1b]) await listener.heard('message-sent', called(_id));
  await s2.silence();
  assert.equal(s2.count('receive-message'), 1);
  for (const listener of [s1a, s1b]) {
    assert.equal(listener.count('message-sent', (sent) => sent._id !== _id), 0);
  }
  assert.equal((await u1.history(conversationId)).length, 1);
});

story('D2: a client id counts for one sender in one conversation', async (stage) => {
  const { u1, u2, u3, s1a, s2, s3, conversationId } = await desktops(stage);
  const otherConversation = await u1.openConversation(u3);
  s1a.emit('send-message', { conversationId, content: 'first', clientId: 'c1' });
  const first = await s1a.heard('message-sent', saying('first'));

  s2.emit('send-message', { conversationId, content: 'answer', clientId: 'c1' });
  const answer = await s1a.heard('receive-message', saying('answer'));
  assert.equal((await s2.heard('message-sent', saying('answer')))._id, answer._id);
  assert.equal(answer.from, u2.id);
  assert.ok(!('clientId' in answer));

  s1a.emit('send-message', {
    conversationId: otherConversation,
    content: 'elsewhere',
    clientId: 'c1',
  });
  const elsewhere = await s3.heard('receive-message', saying('elsewhere'));
  assert.equal(elsewhere.conversationId, otherConversation);
  assert.equal(new Set([first._id, answer._id, elsewhere._id]).size, 3);
});

// The id is the client's own: whatever scalar it is, the client must find it again.
story('D2: a numeric client id comes back unchanged', async (stage) => {
  const { s1a, s2, conversationId } = await desktops(stage);
  const send = { conversationId, content: 'hi', clientId: 1700000000000 };
  s1a.emit('send-message', send);
  s1a.emit('send-message', send);
  const [first, second] = await s1a.heardTimes(2, 'message-sent');
  assert.equal(first.clientId, send.clientId);
  assert.equal(second.clientId, send.clientId);
  assert.equal(second._id, first._id);
  await s2.heard('receive-message', called(first._id));
  await s2.silence();
  assert.equal(s2.count('receive-message'), 1);
});

story('D2: sends without a client id are never taken for each other', async (stage) => {
  const { s1a, s2, conversationId } = await desktops(stage);
  s1a.emit('send-message', { conversationId, content: 'hi' });
  s1a.emit('send-message', { conversationId, content: 'hi', clientId: null });
  s1a.emit('send-message', { conversationId, content: 'hi', clientId: null });
  const received = await s2.heardTimes(3, 'receive-message', saying('hi'));
  assert.equal(new Set(received.map((message) => message._id)).size, 3);
});

story('D2: message stands for content, and content wins', async (stage) => {
  const { s1a, s2, conversationId } = await desktops(stage);
  s1a.emit('send-message', { conversationId, message: 'by message' });
  await s2.heard('receive-message', saying('by message'));
  s1a.emit('send-message', { conversationId, content: 'by content', message: 'unread' });
  await s2.heard('receive-message', saying('by content'));
  assert.equal(s2.count('receive-message'), 2);
});

story('D2: media makes a picture under both spellings', async (stage) => {
  const { u2, s1a, s1b, s2, conversationId } = await desktops(stage);
  const media = 'https://pictures.example.com/cat.png';
  s1a.emit('send-message', { conversationId, type: 'image', media });
  const picture = await s2.heard('receive-message', (message) => message.type === 'image');
  for (const listener of [s1a, s1b]) await listener.heard('message-sent', called(picture._id));
  const [stored] = await u2.history(conversationId);
  for (const message of [picture, stored]) {
    assertBothSpellings(message);
    assert.equal(message.media, media);
    assert.equal(message.fileType, 'image');
    assert.equal(message.type, 'image');
  }
});

story('D2: a refused send tells its socket, stores nothing and disturbs nobody', async (stage) => {
  const { u1, s1a, s1b, s2, s3, conversationId } = await desktops(stage);
  const content = 'must not arrive';
  const refusals = [
    { conversationId },
    { conversationId, content: '' },
    { conversationId, content: 'x'.repeat(4001) },
    { conversationId, content, type: 'poem' },
    { conversationId: 'not-an-id', content },
    { conversationId: randomId(), content },
    { content },
  ];
  await quietly([s1b, s2], async () => {
    for (const payload of refusals) s1a.emit('send-message', payload);
    s1a.emit('send-message', null);
    s3.emit('send-message', { conversationId, content });
    await s1a.heardTimes(refusals.length, 'error');
    await s3.heard('error');
  });
  for (const listener of [s1a, s3]) {
    for (const error of listener.all('error')) assert.ok(error.message, JSON.stringify(error));
    assert.equal(listener.count('message-sent'), 0);
  }
  assert.deepEqual(await u1.history(conversationId), []);

  s1a.emit('send-message', { conversationId, content: 'x'.repeat(4000) });
  await s2.heard('receive-message', saying('x'.repeat(4000)));
});
