// What the desktop client reads and types (U2 at S2 and S2b), and what that shows at another one (U1 at S1). All
// declare `electron`; U3 is a stranger.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import {
  GATEWAY_A,
  GATEWAY_B,
  INSTANT,
  expectStatus,
  logins,
  quietly,
  story,
} from './harness.mjs';
import { STILL_TO_COME, settled } from './settled.mjs';

const electron = { clientType: 'electron' };

// Nothing by any name, while it lasts and after.
const nothing = (ears, act) => quietly(ears, act, { background: STILL_TO_COME });

async function desks(stage) {
  const [u1, u2, u3] = await logins(3);
  const conversationId = await u1.openConversation(u2);
  const [s1, s2, s2b, s3] = await settled(stage, [
    ['S1', GATEWAY_A, u1, electron],
    ['S2', GATEWAY_B, u2, electron],
    ['S2b', GATEWAY_A, u2, electron],
    ['S3', GATEWAY_B, u3, electron],
  ]);
  return { u1, u2, u3, s1, s2, s2b, s3, conversationId };
}

async function send(user, conversationId, text) {
  const body = { content: text, conversationId };
  return expectStatus(await user.http.post('/api/messages', body), 200).message;
}

async function row(user, id) {
  const list = expectStatus(await user.http.get('/api/conversations'), 200).conversations;
  return list.find(({ _id }) => _id === id);
}

describe('D3', { concurrency: 4 }, () => {
  story('D3: all is read, or some, or one, and the sender hears of exactly that', async (stage) => {
    const { u1, u2, u3, s1, s2, s2b, s3, conversationId } = await desks(stage);
    const [u4] = await logins(1);
    const other = await u4.openConversation(u2);
    const foreign = await send(u4, other, 'read by nobody');
    const sent = [];
    for (const text of ['m1', 'm2', 'm3']) sent.push(await send(u1, conversationId, text));
    await s1.heardTimes(3, 'message-sent');
    for (const ear of [s2, s2b]) await ear.heardTimes(4, 'receive-message');
    for (const ear of [s1, s2, s2b, s3]) ear.forget();

    // Reads by an act, and asserts who hears what of it.
    const reads = async (act, messages, unread) => {
      for (const ear of [s1, s2, s2b]) ear.forget();
      await nothing([s3], async () => {
        await act();
        for (const own of [s2, s2b]) {
          assert.deepEqual(await own.heard('messages-read'), { conversationId });
        }
        await s1.heard('messages:read-receipt');
      });
      const [receipt] = s1.all('messages:read-receipt');
      const { readAt } = receipt;
      assert.match(readAt, INSTANT);
      const messageIds = messages.map(({ _id }) => _id);
      assert.deepEqual(receipt, { conversationId, messageIds, readBy: u2.id, readAt });
      assert.deepEqual(s1.log.map(({ name }) => name), ['messages:read-receipt']);
      for (const own of [s2, s2b]) {
        assert.deepEqual(own.log.map(({ name }) => name), ['messages-read'], own.label);
      }
      const shown = await row(u2, conversationId);
      assert.equal(shown.unreadCount, unread);
      for (const cursors of [shown.readUpTo, shown.deliveredUpTo]) {
        assert.equal(cursors[u2.id], messages.at(-1).createdAt);
      }
      assert.equal((await row(u2, other)).unreadCount, 1, 'what is read elsewhere is not here');
    };
    const markRead = (messageIds) => () => s2.emit('mark-read', { conversationId, messageIds });
    await reads(markRead(), sent, 0);

    // Again: the one who asks hears that it is so.
    s2.forget();
    await nothing([s1, s2b, s3], async () => {
      s2.emit('mark-read', { conversationId });
      await s2.heard('messages-read');
    });
    assert.deepEqual(s2.log.map(({ name }) => name), ['messages-read']);

    const [m4, m5] = [await send(u1, conversationId, 'm4'), await send(u1, conversationId, 'm5')];
    await s1.heardTimes(2, 'message-sent');
    for (const ear of [s2, s2b]) await ear.heardTimes(2, 'receive-message');
    await reads(markRead([m4._id, foreign._id]), [m4], 1);

    // Strangers read nothing, and are told so.
    await nothing([s1, s2, s2b], async () => {
      s3.emit('mark-read', { conversationId });
      s3.emit('mark-read', { conversationId, messageIds: [m5._id] });
      for (const error of await s3.heardTimes(2, 'error')) assert.ok(error.message);
    });
    assert.ok(!(u3.id in (await row(u1, conversationId)).readUpTo));

    const path = `/api/messages/${m5._id}/read`;
    const patch = async () => expectStatus(await u2.http.send('PATCH', path), 200);
    await reads(patch, [m5], 0);
  });

  story('D3: typing shows until it is over, and to the other side alone', async (stage) => {
    const { u2, s1, s2, s2b, s3, conversationId } = await desks(stage);
    const shows = async (name, typing) => {
      const body = (await s1.heardTimes(s1.count(name) + 1, name)).at(-1);
      assert.match(body.at, INSTANT);
      assert.deepEqual(body, { from: u2.id, conversationId, typing, at: body.at });
      return s1.log.findLast((entry) => entry.name === name).at;
    };
    const says = async (speaker, name, payload = {}) => {
      const shown = name === 'typing' ? shows('typing', true) : shows('typing-stopped', false);
      speaker.emit(name, { conversationId, ...payload });
      return shown;
    };
    await nothing([s2, s2b, s3], async () => {
      await says(s2, 'typing');
      await says(s2, 'typing-stopped');

      // It is over by itself, unless it is said again,
      const begun = await says(s2, 'typing');
      const over = await shows('typing-stopped', false);
      assert.ok(over - begun >= 4_000 && over - begun < 9_000, `after ${over - begun} ms`);

      // and with the socket.
      const leaving = await stage.connect('leaving', GATEWAY_A, u2, electron);
      const said = await says(leaving, 'typing');
      const stopped = shows('typing-stopped', false);
      leaving.socket.disconnect();
      assert.ok((await stopped) - said < 4_000, 'with the socket, and not by itself');
    });

    // It is over with the message; who did not type does not stop.
    await nothing([s3], async () => {
      await says(s2, 'typing');
      const stopped = shows('typing-stopped', false);
      for (const content of ['typed', 'not typed']) {
        s2.emit('send-message', { conversationId, content });
        await s1.heard('receive-message', (message) => message.content === content);
      }
      await stopped;
    });
    const turn = ['typing', 'typing-stopped'];
    const names = s1.log.map(({ name }) => name);
    const last = ['typing', 'receive-message', 'typing-stopped', 'receive-message'];
    assert.deepEqual(names, [...turn, ...turn, ...turn, ...last]);
    for (const own of [s2, s2b]) {
      assert.deepEqual(own.log.map(({ name }) => name), ['message-sent', 'message-sent'], own.label);
    }
    await nothing([s1, s2, s2b, s3], () => {
      s3.emit('typing', { conversationId });
      s3.emit('typing-stopped', { conversationId });
    });
  });
});
