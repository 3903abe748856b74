// The contract's events from server to client, row by row: under which names the sockets of every
// dialect hear of something, with which body, and who hears nothing of it.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import {
  ANSWER,
  CANDIDATE,
  DIALECTS,
  OFFER,
  Rows,
  company,
  everybody,
  isInstant,
  names,
  send,
  settledEars,
  sockets,
  stored,
  told,
} from './contract.mjs';
import { receiptsAndTyping } from './heard_in_groups.mjs';
import { GATEWAY_B, expectStatus, logins, randomId, story } from './harness.mjs';

const EVENTS = [
  'connected',
  'presence',
  'user-status-changed',
  'online-users',
  'presence:initial',
  'receive-message',
  'message',
  'message-sent',
  'notification:new',
  'message_edited',
  'message-edited',
  'message_deleted',
  'message-deleted',
  'messages-read',
  'messages:read-receipt',
  'delivered',
  'read_up_to',
  'typing',
  'typing-stopped',
  'call:incoming',
  'call:ringing',
  'call:answer',
  'call:candidate',
  'call:declined',
  'call:ended',
  'call:busy',
  'call:error',
  'call_error',
  'chat_request',
  'chat_request_accepted',
  'chat_request_declined',
  'user_profile_updated',
  'error',
];

// Notifications are not stored yet.
const LATER = ['notification:new'];

const rows = new Rows();

// A story about some of the rows.
function row(events, run) {
  story(`heard: ${events.join(', ')}`, async (stage) => {
    await run(stage);
    for (const event of events) {
      const ears = stage.listeners.filter(({ log }) => log.some(({ name }) => name === event));
      assert.ok(ears.length > 0, `nobody heard ${event}`);
    }
    rows.walked(...events);
  });
}

describe('events from server to client', { concurrency: 4 }, () => {
  row(['connected', 'online-users', 'presence:initial'], async (stage) => {
    const [u1, u2, u3] = await logins(3);
    await u1.openConversation(u2);
    const ears = {
      ...(await sockets(stage, 'u1', u1)),
      ...(await sockets(stage, 'u3', u3)),
    };
    const offline = { online: false, isOnline: false };
    for (const dialect of DIALECTS) {
      const ear = ears[`u1 ${dialect}`];
      const hears = (...families) => families.includes(dialect);
      if (hears('electron', 'undeclared')) {
        const connected = await ear.heard('connected');
        const { socketId } = connected;
        const timestamp = isInstant(connected.timestamp);
        assert.deepEqual(connected, { userId: u1.id, socketId, timestamp });
        assert.equal(socketId, ear.socket.id);
        assert.deepEqual(await ear.heard('online-users'), [u1.id]);
      }
      if (hears('flutter', 'undeclared')) {
        const { users, timestamp } = await ear.heard('presence:initial');
        isInstant(timestamp);
        const { at, lastSeen } = users[u2.id];
        assert.deepEqual(users, { [u2.id]: { ...offline, at, lastSeen } });
        for (const time of [at, lastSeen]) isInstant(time);
      }
    }
    for (const dialect of DIALECTS) {
      const about = ears[`u1 ${dialect}`].log.map(({ name }) => name);
      const own = {
        electron: ['connected', 'online-users'],
        flutter: ['presence:initial'],
        undeclared: ['connected', 'online-users', 'presence:initial'],
        unified: [],
      };
      const state = ['connected', 'online-users', 'presence:initial'];
      const first = about.filter((name) => state.includes(name));
      assert.deepEqual(first.sort(), own[dialect], dialect);
    }
  });

  row(['presence', 'user-status-changed'], async (stage) => {
    const [u1, u2, u3] = await logins(3);
    await u1.openConversation(u2);
    const ears = await settledEars(stage, ['u1', u1], ['u3', u3]);
    const both = ['presence', 'user-status-changed'];
    const partner = names('u1', ['user-status-changed'], ['presence'], both, ['presence']);
    const check = (heard, online) => {
      heard.each(
        'presence',
        ({ at, lastSeen }) => ({
          uid: u2.id,
          online,
          at: isInstant(at),
          lastSeen: isInstant(lastSeen),
        }),
        ({ at }) => ({ userId: u2.id, isOnline: online, at: isInstant(at) }),
      );
      const status = online ? 'online' : 'offline';
      heard.each('user-status-changed', ({ lastSeen }) => ({
        userId: u2.id,
        status,
        isOnline: online,
        lastSeen: isInstant(lastSeen),
      }));
    };
    // His own sockets are told how others are, and nothing of himself.
    const [desktop, mobile] = [['connected', 'online-users'], ['presence:initial']];
    const atFirst = ['connected', 'presence:initial', 'online-users'];
    const came = { ...partner, ...names('u2', desktop, mobile, atFirst, []) };
    const come = async () => Object.assign(ears, await sockets(stage, 'u2', u2, 1));
    const arrived = await told(ears, come, came);
    check(arrived, true);
    arrived.each('online-users', (ids) => {
      assert.deepEqual([...ids].sort(), [u1.id, u2.id].sort());
      return ids;
    });

    // Further sockets, and strangers, come and go without a word to anybody.
    const further = async () => {
      for (const user of [u2, u3]) {
        const other = await stage.connect('another', GATEWAY_B, user, { clientType: 'flutter' });
        await other.heard('presence:initial');
        other.socket.disconnect();
      }
      ears['u3 electron'].socket.disconnect();
    };
    await told(ears, further, {});
    const go = () => {
      for (const dialect of DIALECTS) ears[`u2 ${dialect}`].socket.disconnect();
    };
    check(await told(ears, go, partner), false);
  });

  row(['receive-message', 'message', 'message-sent'], async (stage) => {
    const { u1, u2, ears, conversationId } = await company(stage);
    const sent = ['message-sent'];
    const origin = { electron: sent, flutter: [], undeclared: sent, unified: [] };
    for (const dialect of [...DIALECTS, null]) {
      const clientId = `c-${dialect}`;
      const act = async () => {
        const payload = { conversationId, content: `by ${dialect}`, clientId };
        if (dialect) ears[`u1 ${dialect}`].emit('send-message', payload);
        else expectStatus(await u1.http.post('/api/messages', payload), 200);
      };
      const own = dialect ? { [`u1 ${dialect}`]: origin[dialect] } : {};
      const heard = await told(ears, act, { ...stored('u1', 'u2'), ...own });
      const { clientId: echoed, ...message } = heard.one('message-sent');
      assert.equal(echoed, clientId, 'the sender finds his message again');
      assert.deepEqual(heard.one('message'), message);
      assert.deepEqual(heard.one('receive-message'), message);
      assert.equal(message.lastMessageAt, message.createdAt);
      assert.deepEqual([message.from, message.to], [u1.id, u2.id]);
      heard.each('message:created', null, (body, key) => ({
        ...body,
        ...(key.startsWith('u1') && { clientId }),
        id: message._id,
        senderId: u1.id,
        content: message.text,
      }));
    }
  });

  row(['message_edited', 'message-edited', 'message_deleted', 'message-deleted'], async (stage) => {
    const { u1, u2, ears, conversationId } = await company(stage);
    const first = () => send(u1, conversationId, 'first');
    const { outcome: message } = await told(ears, first, stored('u1', 'u2'));
    const all = (verb) =>
      Object.assign(
        {},
        ...['u1', 'u2'].map((label) => {
          const [mobile, desktop] = [`message_${verb}`, `message-${verb}`];
          return names(label, [desktop], [mobile], [mobile, desktop], [`message:${verb}`]);
        }),
      );
    const shared = {
      _id: message._id,
      messageId: message._id,
      conversationId,
      conversation: conversationId,
      from: u1.id,
      sender: u1.id,
      to: u2.id,
    };
    const path = `/api/messages/${message._id}`;
    const change = (method, body) => async () =>
      expectStatus(await u1.http.send(method, path, body), 200);
    const edited = await told(ears, change('PATCH', '{"text":"second"}'), all('edited'));
    for (const name of ['message_edited', 'message-edited']) {
      edited.each(name, ({ editedAt }) => ({
        ...shared,
        text: 'second',
        content: 'second',
        edited: true,
        editedAt: isInstant(editedAt),
        createdAt: message.createdAt,
      }));
    }
    const deleted = await told(ears, change('DELETE'), all('deleted'));
    for (const name of ['message_deleted', 'message-deleted']) {
      deleted.each(name, ({ deletedAt }) => ({
        ...shared,
        deleted: true,
        isDeleted: true,
        deletedAt: isInstant(deletedAt),
      }));
    }
    const second = () => send(u2, conversationId, 'for you alone');
    const { outcome: other } = await told(ears, second, stored('u2', 'u1'));
    const forMe = JSON.stringify({ deleteForBoth: false });
    const hide = async () =>
      expectStatus(await u1.http.send('DELETE', `/api/messages/${other._id}`, forMe), 200);
    await told(ears, hide, {});
  });

  receiptsAndTyping(row);

  const TAKEN = ['call:incoming', 'call:ringing', 'call:answer', 'call:candidate'];
  row([...TAKEN, 'call:ended', 'call:busy'], async (stage) => {
    const { u1, u2, ears } = await company(stage);
    const [caller, callee] = [ears['u1 flutter'], ears['u2 electron']];
    const invite = () => caller.emit('call:invite', { to: u2.id, sdp: OFFER, kind: 'video' });
    const rings = { ...everybody('u1', 'call:ringing'), ...everybody('u2', 'call:incoming') };
    const rung = await told(ears, invite, rings);
    const { callId } = rung.heard[0].body;
    const kind = 'video';
    rung.each(
      'call:ringing',
      () => ({ callId, to: u2.id, kind }),
      () => ({ callId, userId: u2.id, kind }),
    );
    rung.each(
      'call:incoming',
      () => ({ callId, from: u1.id, sdp: OFFER, kind }),
      () => ({ callId, userId: u1.id, sdp: OFFER, kind }),
    );

    const busy = await told(ears, invite, { 'u1 flutter': ['call:busy'] });
    busy.each('call:busy', () => ({ to: u2.id, error: 'busy' }));

    const { 'u2 electron': _, ...elsewhere } = everybody('u2', 'call:ended');
    const answers = { ...everybody('u1', 'call:answer'), ...elsewhere };
    const answer = () => callee.emit('call_answer', { callId, sdp: ANSWER });
    const answered = await told(ears, answer, answers);
    answered.each(
      'call:answer',
      () => ({ callId, from: u2.id, sdp: ANSWER, kind }),
      () => ({ callId, userId: u2.id, sdp: ANSWER, kind }),
    );
    answered.each('call:ended', () => ({ callId, by: 'answered_elsewhere' }));

    const add = () => caller.emit('call:candidate', { callId, candidate: CANDIDATE });
    const added = await told(ears, add, { 'u2 electron': ['call:candidate'] });
    added.each('call:candidate', () => ({ callId, from: u1.id, candidate: CANDIDATE }));
    const back = () => callee.emit('ice_candidate', { callId, candidate: CANDIDATE });
    const returned = await told(ears, back, { 'u1 flutter': ['call:candidate'] });
    returned.each('call:candidate', () => ({ callId, from: u2.id, candidate: CANDIDATE }));

    const end = () => callee.emit('call_end', { callId });
    const over = { ...everybody('u1', 'call:ended'), ...everybody('u2', 'call:ended') };
    const ended = await told(ears, end, over);
    ended.each('call:ended', () => ({ callId, by: u2.id }));
  });

  row(['call:declined', 'call:error', 'call_error', 'error'], async (stage) => {
    const { u1, u2, ears, conversationId } = await company(stage);
    const caller = ears['u1 electron'];
    const rings = { ...everybody('u1', 'call:ringing'), ...everybody('u2', 'call:incoming') };
    const offer = () => caller.emit('call_offer', { to: u2.id, sdp: OFFER });
    const rung = await told(ears, offer, rings);
    const { callId } = rung.heard[0].body;
    const busy = () => ears['u2 undeclared'].emit('call_offer', { to: u1.id, sdp: OFFER });
    const refused = await told(ears, busy, { 'u2 undeclared': ['call_error'] });
    refused.each('call_error', ({ message }) => ({ error: 'busy', message }));
    const decline = () => ears['u2 flutter'].emit('call:answer', { callId, accept: false });
    const all = { ...everybody('u1', 'call:declined'), ...everybody('u2', 'call:declined') };
    const declined = await told(ears, decline, all);
    declined.each(
      'call:declined',
      () => ({ callId, from: u2.id }),
      () => ({ callId, userId: u2.id }),
    );

    // Direct answers go by what was said, at the socket that said it, whatever it declares.
    for (const [name, payload, failure] of [
      ['call:invite', { to: u2.id }, 'call:error'],
      ['call:answer', { accept: true, sdp: ANSWER }, 'call:error'],
      ['call_offer', { to: randomId(), sdp: OFFER }, 'call_error'],
      ['send-message', { conversationId, content: '' }, 'error'],
      ['mark-read', { conversationId: randomId() }, 'error'],
    ]) {
      const say = () => DIALECTS.map((dialect) => ears[`u1 ${dialect}`].emit(name, payload));
      const heard = await told(ears, say, everybody('u1', failure));
      heard.each(failure, ({ error, message }) => {
        for (const text of [error, message]) assert.ok(text && typeof text === 'string', name);
        return { error, message };
      });
    }
  });

  row(['chat_request', 'chat_request_accepted', 'chat_request_declined'], async (stage) => {
    const [u1, u2, u3] = await logins(3);
    const ears = await settledEars(stage, ['u1', u1], ['u2', u2], ['u3', u3]);
    const path = '/api/conversations/chat-requests';
    const ask = async () => {
      const received = await u1.http.post(path, { from: u1.id, toPhone: u2.phone });
      return expectStatus(received, 200, 201);
    };
    const old = ['chat_request'];
    const request = {
      ...names('u2', old, old, old, ['request:created']),
      'u1 unified': ['request:created'],
    };
    const answer = (id, verb) => async () =>
      expectStatus(await u2.http.post(`${path}/${id}/${verb}`, { me: u2.id }), 200);
    for (const verb of ['decline', 'accept']) {
      const asked = await told(ears, ask, request);
      const { _id } = asked.each('chat_request', ({ _id, createdAt }) => ({
        _id,
        from: u1.id,
        to: u2.id,
        status: 'pending',
        createdAt: isInstant(createdAt),
      }));
      const [old, own] =
        verb === 'accept'
          ? ['chat_request_accepted', 'request:accepted']
          : ['chat_request_declined', 'request:declined'];
      const requester = names('u1', [old], [old], [old], [own]);
      const accepter = names('u2', [old], [old], [old], [own]);
      const decliner = { 'u2 unified': [own] };
      const expected = { ...requester, ...(verb === 'accept' ? accepter : decliner) };
      const answered = await told(ears, answer(_id, verb), expected);
      answered.each(
        old,
        (_, key) =>
          verb === 'accept'
            ? { conversationId: _id, partnerId: key.startsWith('u1') ? u2.id : u1.id }
            : { conversationId: _id, by: u2.id },
        null,
      );
      answered.each(own, null, () => ({ conversationId: _id, requesterId: u1.id, actorId: u2.id }));
    }
  });

  row(['user_profile_updated'], async (stage) => {
    const { u1, ears } = await company(stage);
    const name = `Ada ${randomId()}`;
    const rename = async () =>
      expectStatus(await u1.http.send('PATCH', '/api/users/me', JSON.stringify({ name })), 200);
    const old = ['user_profile_updated'];
    const expected = {
      ...names('u1', old, old, old, ['profile:updated']),
      ...names('u2', old, old, old, ['profile:updated']),
    };
    const heard = await told(ears, rename, expected);
    heard.each('user_profile_updated', ({ user }) => {
      assert.deepEqual([user.id, user.name, user.phone], [u1.id, name, u1.phone]);
      for (const field of ['avatar', 'avatarUrl', 'bio']) assert.equal(user[field], null, field);
      return { userId: u1.id, user };
    });
  });
});

const due = EVENTS.filter((name) => !LATER.includes(name));
rows.check('every event from server to client is walked', due);
