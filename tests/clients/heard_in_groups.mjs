// The rows of the walk about what members of a group hear of each other: what has arrived, what has been read,
// and who types.

import assert from 'node:assert/strict';
import { circle, isInstant, names, send, stored, told } from './contract.mjs';
import { GATEWAY_B } from './harness.mjs';

export function receiptsAndTyping(row) {
  row(['delivered'], async (stage) => {
    const { u1, u2, u4, ears, conversationId } = await circle(stage);
    const old = ['delivered'];
    const expected = names('u1', old, old, old, ['receipt:delivered']);
    const first = () => send(u1, conversationId, 'tick');
    const { outcome } = await told(ears, first, stored('u1', 'u2', 'u4'));
    const { _id: messageId, createdAt } = outcome;
    // The sender alone hears of it, and of each recipient.
    for (const [key, by] of [['u2 flutter', u2.id], ['u4 electron', u4.id]]) {
      const say = () => ears[key].emit('delivered', { messageId });
      const heard = await told(ears, say, expected);
      heard.each(
        'delivered',
        () => ({ messageId, conversationId, by, at: createdAt }),
      );
      heard.each('receipt:delivered', null, (body) => {
        assert.deepEqual([body.conversationId, body.userId], [conversationId, by]);
        return body;
      });
      await told(ears, say, {});
    }
  });

  row(['messages-read', 'messages:read-receipt', 'read_up_to'], async (stage) => {
    const { u1, u2, u4, ears, conversationId } = await circle(stage);
    const receipt = ['messages:read-receipt'];
    const both = ['read_up_to', 'messages:read-receipt'];
    const desktop = ['messages-read'];
    const writer = (label) => names(label, receipt, ['read_up_to'], both, ['receipt:read']);
    const reader = names('u2', desktop, [], desktop, ['receipt:read']);
    const write = async (user, label, text) => {
      const others = ['u1', 'u2', 'u4'].filter((other) => other !== label);
      const act = () => send(user, conversationId, text);
      return (await told(ears, act, stored(label, ...others))).outcome;
    };
    const read = () => ears['u2 electron'].emit('mark-read', { conversationId });
    const check = (heard, at, idsOf) => {
      heard.each('messages-read', () => ({ conversationId }));
      heard.each('read_up_to', () => ({ conversationId, by: u2.id, at }));
      heard.each('messages:read-receipt', ({ readAt }, key) => ({
        conversationId,
        messageIds: idsOf[key.slice(0, 2)],
        readBy: u2.id,
        readAt: isInstant(readAt),
      }));
    };

    const first = await write(u1, 'u1', 'read me');
    const witness = names('u4', [], ['read_up_to'], ['read_up_to'], ['receipt:read']);
    const heard = await told(ears, read, { ...writer('u1'), ...reader, ...witness });
    check(heard, first.createdAt, { u1: [first._id] });
    const again = await told(ears, read, { 'u2 electron': desktop });
    again.each('messages-read', () => ({ conversationId }));

    // Of what two have written, each hears of his own.
    const own = await write(u1, 'u1', 'one');
    const his = await write(u4, 'u4', 'two');
    const last = await write(u1, 'u1', 'three');
    const all = await told(ears, read, { ...writer('u1'), ...reader, ...writer('u4') });
    check(all, last.createdAt, { u1: [own._id, last._id], u4: [his._id] });
  });

  row(['typing', 'typing-stopped'], async (stage) => {
    const { u1, ears, conversationId } = await circle(stage);
    const say = (name, speaker = ears['u1 flutter']) => {
      return () => speaker.emit(name, { conversationId });
    };
    const check = (heard, typing) => {
      const bodies = heard.heard.filter(({ name }) => name.startsWith('typing'));
      for (const { key, name, body } of bodies) {
        const own = { conversationId, at: isInstant(body.at) };
        const expected = key.endsWith('unified')
          ? { ...own, userId: u1.id, isTyping: typing }
          : { ...own, from: u1.id, typing };
        assert.deepEqual(body, expected, `${name} at ${key}`);
      }
    };
    const others = (...lists) => ({ ...names('u2', ...lists), ...names('u4', ...lists) });
    const typing = ['typing'];
    const begin = others(typing, typing, typing, typing);
    const stopped = ['typing-stopped'];
    const stop = others(stopped, typing, [...typing, ...stopped], typing);

    // It ends when that is said,
    check(await told(ears, say('typing'), begin), true);
    check(await told(ears, say('typing-stopped'), stop), false);
    await told(ears, say('typing-stopped'), {});

    // with the message,
    check(await told(ears, say('typing'), begin), true);
    const heard = stored('u1', 'u2', 'u4');
    for (const key of Object.keys(stop)) heard[key] = [...heard[key], ...stop[key]];
    const sent = () => send(u1, conversationId, 'done');
    check(await told(ears, sent, heard), false);
    await told(ears, sent, stored('u1', 'u2', 'u4'));

    // with the socket that said so,
    const leaving = await stage.connect('leaving', GATEWAY_B, u1, { clientType: 'electron' });
    check(await told(ears, say('typing', leaving), begin), true);
    check(await told(ears, () => leaving.socket.disconnect(), stop), false);

    // and by itself.
    check(await told(ears, say('typing'), begin), true);
    check(await told(ears, () => {}, stop), false);
  });
}
